#include "runtime/model/json.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "comm/error.hpp"

namespace pikv::runtime {
namespace {

using Json = nlohmann::json;

class DuplicateKeys {
 public:
  explicit DuplicateKeys(std::string const& what) : what_{what} {}

  void operator()(Json::parse_event_t event, Json const& parsed) {
    if (event == Json::parse_event_t::object_start) open_.emplace_back();
    if (event == Json::parse_event_t::object_end) open_.pop_back();
    if (event != Json::parse_event_t::key) return;
    auto const& key = parsed.get_ref<std::string const&>();
    if (!open_.back().insert(key).second) throw InputError(fmt::format("{}: the key \"{}\" occurs twice; keep one of them", what_, key));
  }

 private:
  std::string const& what_;
  std::vector<std::set<std::string>> open_;
};

}   // namespace

nlohmann::json parse_json(std::string_view text, std::string const& what) {
  DuplicateKeys check{what};
  try {
    return Json::parse(text, [&](int, Json::parse_event_t event, Json& parsed) {
      check(event, parsed);
      return true;
    });
  } catch (Json::parse_error const& error) {
    if (!is_utf8(text)) throw InputError(what + " is not UTF-8 text; convert it");
    throw InputError(fmt::format("{} is not valid JSON (at byte {}); correct it", what, error.byte));
  } catch (Json::exception const&) {
    throw InputError(what + " holds a number that is out of range; correct it");
  }
}

bool is_utf8(std::string_view text) {
  try {
    (void)Json(text).dump();
    return true;
  } catch (Json::type_error const&) {
    return false;
  }
}

}   // namespace pikv::runtime
