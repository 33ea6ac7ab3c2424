#include "runtime/checkpoint/digest.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <span>
#include <type_traits>

#include "comm/checksum.hpp"

namespace pikv::runtime {

namespace {

struct Bytes {
  std::string all;

  void add(void const* data, std::size_t bytes) { all.append(static_cast<char const*>(data), bytes); }
  void number(auto value) { add(&value, sizeof value); }
  void text(std::string const& value) {
    number(static_cast<std::uint64_t>(value.size()));
    all += value;
  }
  void attributes(Attributes list) {
    std::ranges::sort(list, {}, &Attribute::name);
    number(static_cast<std::uint64_t>(list.size()));
    for (Attribute const& attribute : list) {
      text(attribute.name);
      std::visit(
          [&](auto const& value) {
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) text(value);
            else number(value);
          },
          attribute.value);
    }
  }
  void rows(hdf5::RowType const& type, auto const& list) {
    number(static_cast<std::uint64_t>(list.size()));
    hdf5::RowBuffer packed{type, list.size()};
    for (auto const& row : list) packed.add(&row);
    add(packed.bytes().data(), packed.bytes().size());
  }
};

}  // namespace

std::string tables_digest(CheckpointFacts const& facts, PackedRequests const& requests, std::vector<PageRow> const& pages) {
  Bytes bytes;
  bytes.attributes(root_attributes(facts));
  bytes.attributes(facts.options);
  bytes.attributes(facts.model);
  bytes.rows(saved_request_rows(), requests.rows);
  bytes.rows(page_rows(), pages);
  bytes.number(static_cast<std::uint64_t>(requests.tokens.size()));
  bytes.add(requests.tokens.data(), requests.tokens.size() * sizeof(std::int32_t));
  bytes.text(requests.text);
  if (!requests.policies.empty()) {
    bytes.rows(policy_rows(), requests.policies);
    bytes.text(requests.policy_state);
    bytes.rows(evicted_rows(), requests.evicted);
  }
  return fmt::format("{:016x}", comm::checksum(std::as_bytes(std::span{bytes.all})));
}

}  // namespace pikv::runtime
