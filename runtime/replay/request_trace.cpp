#include "runtime/replay/request_trace.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "comm/error.hpp"
#include "runtime/model/json.hpp"

namespace pikv::runtime::replay {
namespace {

using Json = nlohmann::json;
constexpr std::size_t most_reads = std::numeric_limits<Page>::max();

struct Request {
  double timestamp_ms = 0;
  std::vector<std::uint64_t> hash_ids;
};

class Line {
 public:
  Line(std::string_view text, std::string where) : where_{std::move(where)}, json_(parsed(text)) {
    if (!json_.is_object()) fail("is not a JSON object; write {\"timestamp\": 0, \"input_length\": 512, \"output_length\": 1, \"hash_ids\": [0]}");
  }

  Request request() const {
    Request request{.timestamp_ms = moment(), .hash_ids = {}};
    check_tokens("input_length");
    check_tokens("output_length");
    Json const& ids = value("hash_ids");
    if (!ids.is_array()) fail("has \"hash_ids\" that are not a list; write [0, 1]");
    for (Json const& id : ids) {
      if (!id.is_number_unsigned()) fail("has \"hash_ids\" that are not whole numbers from 0 to 2^64 - 1");
      request.hash_ids.push_back(id.get<std::uint64_t>());
    }
    return request;
  }

 private:
  [[noreturn]] void fail(std::string const& why) const { throw RunError(fmt::format("{} {}", where_, why)); }

  Json parsed(std::string_view text) const {
    try {
      return parse_json(text, where_);
    } catch (InputError const& error) {
      throw RunError(error.what());   // a trace that cannot be read: code 1
    }
  }

  Json const& value(char const* key) const {
    auto const found = json_.find(key);
    if (found == json_.end()) fail(fmt::format("has no \"{}\"; a request has timestamp, input_length, output_length and hash_ids", key));
    return *found;
  }

  double moment() const {
    Json const& moment = value("timestamp");
    if (!moment.is_number() || moment.get<double>() < 0) fail("has a \"timestamp\" that is not a number of milliseconds from 0 up");
    return moment.get<double>();
  }

  void check_tokens(char const* key) const {
    if (!value(key).is_number_unsigned()) fail(fmt::format("has an \"{}\" that is not a whole number of tokens from 0 up", key));
  }

  std::string where_;
  Json json_;
};

}   // namespace

Reads read_requests(std::istream& in, std::string const& name) {
  std::vector<Request> requests;
  std::size_t reads = 0;
  for (std::string line; std::getline(in, line);) {
    requests.push_back(Line{line, fmt::format("{} line {}", name, requests.size() + 1)}.request());
    reads += requests.back().hash_ids.size();
    if (reads > most_reads) throw RunError(fmt::format("{} holds more than {} page reads; replay a part of it", name, most_reads));
  }
  if (in.bad()) throw RunError(fmt::format("could not read {} to its end; check that it is a readable file", name));
  if (requests.empty()) throw RunError(fmt::format("{} holds no requests; write one a line, or make some with `pikv replay --generate FILE`", name));
  std::ranges::stable_sort(requests, {}, &Request::timestamp_ms);
  ReadsBuilder<std::uint64_t> builder;
  for (Request const& request : requests) {
    for (std::uint64_t const id : request.hash_ids) builder.read(id);
    builder.end_request();
  }
  return std::move(builder).take();
}

Reads read_requests(std::filesystem::path const& path) {
  if (std::filesystem::is_directory(path))
    throw RunError(fmt::format("{} is a folder; give a trace, JSON lines or what --trace of `pikv generate` wrote", path.string()));
  std::ifstream in{path, std::ios::binary};
  if (!in)
    throw RunError(fmt::format("could not open {} ({}); give a trace, JSON lines or what --trace of `pikv generate` wrote", path.string(),
                               std::strerror(errno)));
  return read_requests(in, path.string());
}

}   // namespace pikv::runtime::replay
