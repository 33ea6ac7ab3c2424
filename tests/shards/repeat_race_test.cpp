#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <list>
#include <vector>

#include "comm/byte_buffer.hpp"
#include "comm/message.hpp"
#include "comm/world.hpp"
#include "fake_transport.hpp"
#include "shards/home.hpp"
#include "shards/owner.hpp"

namespace pikv::shards {
namespace {

/// Of two; its waits are over at once.
struct FakeWorld : comm::World {
  comm::Rank rank() const override { return 1; }
  int size() const override { return 2; }
  int host(comm::Rank) const override { return 0; }
  std::string host_name(comm::Rank) const override { return "host"; }
  bool in_process() const override { return true; }
  std::string data_path() const override { return "nothing"; }
  double now() const override { return 0; }
  comm::Status wait(comm::FunctionRef<bool()>, comm::Deadline) override { return comm::Status::arrived; }
  std::vector<comm::Bytes> all_gather(std::span<std::byte const>, comm::Deadline) override { return {}; }
  std::unique_ptr<comm::Exchange> make_exchange(comm::ExchangeOptions const&) override { return {}; }
  std::unique_ptr<comm::Transport> make_transport() override { return {}; }
  std::unique_ptr<Guard> guard(char const*, double) override { return {}; }
  void abort(int, std::string const& sentence) override { throw RunError(sentence); }
};

/// Puts land in the owner's arena, payloads as `land` does it.
struct ToOwner : test::FakeTransport {
  Arena* owner = nullptr;
  std::function<void(std::byte*, std::span<std::byte const>)> land;
  comm::Op put(comm::Rank, comm::Offset at, std::span<std::byte const> bytes) override {
    if (at.region == 0) std::memcpy(&owner->header({static_cast<std::int32_t>(at.byte / header_bytes)}), bytes.data(), bytes.size());
    else land(owner->payload({0}).data() + at.byte, bytes);
    return {};
  }
  comm::Op flush(comm::Rank) override { return {}; }
};

StoreOptions small_store() {
  StoreOptions options;
  options.layers = 1;
  options.q_heads = 1;
  options.layout = {kernels::DType::f32, 1, 4, 8};
  options.fingerprint = {1, 2};
  options.slots = 8;
  options.home_slots = 4;
  options.most_streams = 1;
  options.most_blocks = 4;
  return options;
}

/// The id of a stream whose second block is placed on rank 0.
constexpr StreamId on_rank_0{5, 1};

struct RepeatRace : ::testing::Test {
  StoreOptions options = small_store();
  Counts counts;
  test::FakeTransport of_owner;
  ToOwner of_home;
  FakeWorld world;
  Arena owners{of_owner, {{options.layout, 8}}}, homes{of_home, {{options.layout, 8}}};
  Owner owner{owners, 0, 2, {4}, options.fingerprint, counts}, beside_home{homes, 1, 2, {0}, options.fingerprint, counts};
  Home home{world, of_home, homes, beside_home, options, counts};
  Stream stream{on_rank_0, 1};

  /// The control exchange of a step, and what the home does after it; the owner acts on it when it comes to that.
  void exchange() {
    comm::ByteBuffer to_owner, to_home;
    comm::MessageWriter from_home{to_owner}, from_owner{to_home};
    home.write_control(0, from_home);
    owner.write_control(1, from_owner);
    messages_.emplace_back(to_owner.bytes().begin(), to_owner.bytes().end());   // the owner keeps views into its message
    comm::MessageReader at_owner{messages_.back()}, at_home{to_home.bytes()};
    owner.read_control(1, at_owner);
    home.read_control(0, at_home);
  }
  void step(Step now) {
    exchange();
    owner.after_control(now, now);
    home.after_control();
    home.push(now);
  }

 private:
  std::list<std::vector<std::byte>> messages_;
};

// spin found it (tests/protocol, variant damaged_looked_at_again_at_once): in a step without rows nothing holds the home back, so its
// repeat may be landing while the owner looks again.
TEST_F(RepeatRace, APageIsNotIndexedWhileItsRepeatIsLanding) {
  auto const whole = [](std::byte* to, std::span<std::byte const> from) { std::memcpy(to, from.data(), from.size()); };
  of_home.owner = &owners;
  of_home.land = [&](std::byte* to, std::span<std::byte const> from) {
    whole(to, from);
    to[3] ^= std::byte{4};   // the first fault
  };
  home.expect(stream, 8);
  exchange();
  owner.after_control(0, 0);
  home.after_control();
  home.extend(stream, 8);
  for (Block block = 0; block < 2; ++block)
    std::memset(homes.payload(stream.directory().at(0, block).local).data(), 17 + block, options.layout.bytes());
  home.advance(stream, 8);
  home.seal_full(stream, 0);
  home.push(0);
  step(1);   // pushed, damaged
  step(2);   // found damaged
  ASSERT_EQ(counts.corrupt, 1u);
  ASSERT_EQ(owner.pages(), 0u);

  of_home.land = [&](std::byte* to, std::span<std::byte const> from) {
    std::size_t const half = from.size() / 2;
    whole(to, from.first(half));   // what was damaged is right now
    owner.after_control(3, 3);     // the owner is late in step 3
    whole(to + half, from.subspan(half));
    to[from.size() - 1] ^= std::byte{4};   // the second fault
  };
  exchange();
  home.after_control();
  home.push(3);   // repeats
  of_home.land = whole;
  for (Step now = 4; now < 8; ++now) {
    step(now);
    DirectoryEntry const& page = stream.directory().at(0, 1);
    if (page.life != PageLife::remote) {
      EXPECT_TRUE(page.local.valid()) << "step " << now << ": the home has given its copy away before the owner has a sound one";
      continue;
    }
    auto const held = owners.payload(page.slot);
    EXPECT_TRUE(std::ranges::all_of(held, [](std::byte b) { return b == std::byte{18}; })) << "step " << now << ": the owner serves a wrong page";
  }
  EXPECT_EQ(stream.directory().at(0, 1).life, PageLife::remote) << "the page was never stored";
}

}  // namespace
}  // namespace pikv::shards
