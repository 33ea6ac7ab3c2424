#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
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
  std::int32_t layer = 0, layers = 1;
  std::span<float const> mean_key{};       // [kv_heads * head_dim] of the block's keys in this layer; empty unless the entry wants it
  std::span<float const> gate{};           // [gate experts] the model's gate probabilities of layer - 1, summed over the block's tokens; empty in layer 0,
                                           // where the model has no gate, and unless the entry wants it
};

/// Chooses the KV expert of a page when it is sealed. Deterministic: same events, same experts. State is of a (stream, layer), and of the pages
/// that were sealed in it; pages keep their expert.
class HomePolicy {
 public:
  virtual ~HomePolicy() = default;
  virtual KvExpert expert_of(SealedBlock const& sealed) = 0;   // the page is sealed now, and counts from now on
  /// A page that comes back (from a checkpoint) with the expert that it had; in the order in which they were sealed.
  virtual void adopt(SealedBlock const& sealed, KvExpert expert) { (void)sealed, (void)expert; }
  /// Block `from` and what follows are no more, in all layers.
  virtual void forget(StreamId const& stream, Block from) { (void)stream, (void)from; }
  /// The stream is no more.
  virtual void close(StreamId const& stream) { (void)stream; }
  /// Of its state, for the account.
  virtual std::size_t bytes() const { return 0; }
};

struct HomePolicyEntry {
  std::string_view sentence;                       // for `pikv list homes`
  std::unique_ptr<HomePolicy> (*make)();
  bool wants_mean_key = false, wants_gate = false;
};
/// name -> policy; --help, errors and the test that tries each read this table. A new one is one file in homes/ and one line.
std::map<std::string_view, HomePolicyEntry> const& home_policies();
std::unique_ptr<HomePolicy> make_home_policy(std::string_view name);   // InputError lists the names

}  // namespace pikv::shards
