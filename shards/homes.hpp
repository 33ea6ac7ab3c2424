#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "shards/kv_expert.hpp"
#include "shards/page.hpp"

namespace pikv::shards {

/// What a home policy may look at when a page is sealed.
struct SealedBlock {
  StreamId stream{};
  Block block = 0;
  KvExpert experts = default_kv_experts;   // E_kv
};

/// Chooses the KV expert of a page when it is sealed; a pure function of its input.
class HomePolicy {
 public:
  virtual ~HomePolicy() = default;
  virtual KvExpert expert_of(SealedBlock const& sealed) = 0;
};

struct HomePolicyEntry {
  std::string_view sentence;                       // for `pikv list homes`
  std::unique_ptr<HomePolicy> (*make)();
};
/// name -> policy; --help, errors and the test that tries each read this table. A new one is one file in homes/ and one line.
std::map<std::string_view, HomePolicyEntry> const& home_policies();
std::unique_ptr<HomePolicy> make_home_policy(std::string_view name);   // InputError lists the names

}  // namespace pikv::shards
