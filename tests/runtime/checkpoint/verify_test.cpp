#include "runtime/checkpoint/verify.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>

#include "runtime/checkpoint/diff.hpp"
#include "runtime/checkpoint/show.hpp"
#include "runtime/checkpoint/tables_check.hpp"
#include "runtime/checkpoint/tables_file.hpp"
#include "sample.hpp"
#include "tests/runtime/trace/scratch_folder.hpp"

namespace pikv::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct CheckpointContents : ::testing::Test {
  void SetUp() override { test::write_sample(name); }
  std::string next_name() { return folder / ("made" + std::to_string(made_++) + ".h5"); }
  /// What is wrong with tables that were written so; there are no pages behind them.
  std::string contradiction(std::function<void(CheckpointFacts&, std::vector<SavedRequest>&, std::vector<PageRow>&)> const& change) {
    auto facts = test::sample_facts();
    auto requests = test::sample_requests();
    auto pages = CheckpointReader{name}.pages();
    change(facts, requests, pages);
    std::uint64_t at = 0;   // payloads follow each other, of whatever pages there are
    for (PageRow& page : pages) at = (page.at = at) + page.bytes;
    auto const file = next_name();
    write_tables(file, facts, pack(requests), pages);
    return contradiction_in(CheckpointReader{file});
  }
  std::string contradiction_of_request(std::function<void(SavedRequest&)> const& change, std::size_t which = 1) {
    return contradiction([&](auto&, auto& requests, auto&) { change(requests[which]); });
  }
  std::string contradiction_of_page(std::function<void(PageRow&)> const& change) {
    return contradiction([&](auto&, auto&, auto& pages) { change(pages[5]); });
  }
  CheckpointDiff diff_with(std::string const& other) { return diff_checkpoints(CheckpointReader{name}, CheckpointReader{other}); }
  CheckpointDiff diff_with(CheckpointFacts const& facts, std::vector<SavedRequest> const& requests = test::sample_requests(), int break_page = -1) {
    auto const other = next_name();
    test::write_sample(other, facts, requests, break_page);
    return diff_with(other);
  }

  test::ScratchFolder folder;
  std::string name = folder / "step-000000000040.h5";
  int made_ = 0;
};

TEST_F(CheckpointContents, WhatAJobWroteHolds) {
  auto const found = verify_checkpoint(CheckpointReader{name});
  EXPECT_EQ(found.pages, 10u);
  EXPECT_EQ(found.left_out, 0u);
  EXPECT_EQ(found.payload_bytes, 10 * test::sample_layout.bytes());
  EXPECT_EQ(found.tokens, 15);
  EXPECT_EQ(found.restored, 15);
  EXPECT_THAT(found.gaps, IsEmpty());
}

TEST_F(CheckpointContents, APageThatRottedBeforeIsLeftOutAndComputedAgain) {
  auto const written = test::write_sample(name, test::sample_facts(), test::sample_requests(), 2);   // block 1 of request 1
  EXPECT_EQ(written.unsound, 1u);
  auto const found = verify_checkpoint(CheckpointReader{name});
  EXPECT_EQ(found.left_out, 1u);
  EXPECT_EQ(found.pages, 9u);
  ASSERT_EQ(found.gaps.size(), 1u);
  EXPECT_EQ(found.gaps[0].request, 1);
  EXPECT_EQ(found.gaps[0].restored, 4);
  EXPECT_EQ(found.gaps[0].length, 10);
  EXPECT_EQ(found.restored, 9);
}

TEST_F(CheckpointContents, APageThatWasNotYetReadAndRotsInTheFileIsLeftOutOfTheNext) {
  auto const whole = next_name(), torn = next_name();
  auto const written = test::write_unread(whole, CheckpointReader{name});
  EXPECT_EQ(written.unread, 10u);
  EXPECT_EQ(written.unsound, 0u);
  EXPECT_TRUE(diff_with(whole).equal());

  std::vector<std::byte> payload(test::sample_layout.bytes());
  ASSERT_EQ(CheckpointReader{name}.verdict(2, payload), shards::Verdict::good);   // block 1 of request 1
  std::ifstream in{name, std::ios::binary};
  std::string const bytes{std::istreambuf_iterator<char>{in}, {}};
  auto const at = bytes.find(std::string{reinterpret_cast<char const*>(payload.data()), payload.size()});
  ASSERT_NE(at, std::string::npos);
  CheckpointReader const rotting{name};
  std::fstream{name, std::ios::in | std::ios::out | std::ios::binary}
      .seekp(static_cast<std::streamoff>(at + 7))
      .put(static_cast<char>(~bytes[at + 7]));
  EXPECT_EQ(test::write_unread(torn, rotting).unsound, 1u);
  auto const found = verify_checkpoint(CheckpointReader{torn});
  EXPECT_EQ(found.left_out, 1u);
  EXPECT_EQ(found.restored, 9);
}

TEST_F(CheckpointContents, AnOptionThatNeedsAnotherIsNoContradiction) {
  EXPECT_EQ(contradiction([](auto& facts, auto&, auto&) { facts.options.push_back({"trace-events", std::string{"100"}}); }), "");
}

TEST_F(CheckpointContents, MissingPagesAreNoContradiction) {
  EXPECT_EQ(contradiction([](auto&, auto&, auto& pages) { pages.erase(pages.begin() + 3); }), "");
  EXPECT_EQ(contradiction([](auto&, auto&, auto& pages) { pages.clear(); }), "");
}

TEST_F(CheckpointContents, TablesThatDisagreeAreTold) {
  EXPECT_EQ(contradiction([](auto&, auto&, auto&) {}), "");
  EXPECT_THAT(contradiction([](auto&, auto&, auto& pages) { pages.push_back(pages[1]); }), HasSubstr("page 10 is there twice"));
  EXPECT_THAT(contradiction_of_page([](PageRow& page) { page.stream_lo = 99; }), HasSubstr("page 5 is of a stream that no running request has"));
  EXPECT_THAT(contradiction_of_page([](PageRow& page) { page.layer = 2; }), HasSubstr("of layer 2"));
  EXPECT_THAT(contradiction_of_page([](PageRow& page) { page.layer = -1; }), HasSubstr("of layer -1"));
  EXPECT_THAT(contradiction_of_page([](PageRow& page) { page.block = 3; }), HasSubstr("behind the end"));
  EXPECT_THAT(contradiction_of_page([](PageRow& page) { page.block = -2; }), HasSubstr("behind the end"));
  EXPECT_THAT(contradiction_of_page([](PageRow& page) { page.tokens = 3; }), HasSubstr("has 3 tokens"));
  EXPECT_THAT(contradiction_of_page([](PageRow& page) { page.rank = 1; }), HasSubstr("rank 1 of 1"));
}

TEST_F(CheckpointContents, RequestsThatNoJobHasAreTold) {
  EXPECT_THAT(contradiction_of_request([](SavedRequest& one) { one.length = 11; }), HasSubstr("request 1 has more tokens in pages"));
  EXPECT_THAT(contradiction_of_request([](SavedRequest& one) { one.length = -1; }), HasSubstr("request 1"));
  EXPECT_THAT(contradiction_of_request([](SavedRequest& one) { one.stream = {11, 3}; }), HasSubstr("request 3 shares its stream"));
  EXPECT_THAT(contradiction_of_request([](SavedRequest& one) { one.result.tokens.resize(9); }), HasSubstr("more generated tokens"));
  EXPECT_THAT(contradiction_of_request([](SavedRequest& one) { one.result.tokens[0] = 256; }), HasSubstr("outside of the vocabulary"));
  EXPECT_THAT(contradiction_of_request([](SavedRequest& one) { one.request.prompt[0] = -1; }), HasSubstr("outside of the vocabulary"));
  EXPECT_THAT(contradiction_of_request([](SavedRequest& one) { one.request.max_new_tokens = 57; }), HasSubstr("positions"));
  EXPECT_THAT(contradiction_of_request([](SavedRequest& one) { one.request.refused = "no"; }), HasSubstr("refused and has run"));
  EXPECT_THAT(contradiction_of_request([](SavedRequest& one) { one.result.tokens = {1}; }, 2), HasSubstr("request 2 waits and has generated"));
  EXPECT_THAT(contradiction_of_request([](SavedRequest& one) { one.length = 4; }, 0), HasSubstr("request 0 has pages and does not run"));
}

TEST_F(CheckpointContents, FactsThatNoJobHasAreTold) {
  auto const facts = [&](auto const& change) { return contradiction([&](auto& all, auto&, auto&) { change(all); }); };
  EXPECT_THAT(facts([](auto& all) { all.ranks = 0; }), HasSubstr("ranks"));
  EXPECT_THAT(facts([](auto& all) { all.step = -1; }), HasSubstr("step"));
  EXPECT_THAT(facts([](auto& all) { all.payload_bytes *= 2; }), HasSubstr("bytes long"));
  EXPECT_THAT(facts([](auto& all) { all.options[1].value = std::string{"24"}; }), HasSubstr("page-tokens=24"));
  EXPECT_THAT(facts([](auto& all) { all.model.clear(); }), HasSubstr("/model"));
}

TEST_F(CheckpointContents, TheSameJobIsEqualWhereverItRanAndWheneverItWasSaved) {
  auto facts = test::sample_facts();
  facts.ranks = facts.hosts = 2;
  facts.saved = "2026-01-31T12:00:00Z";
  facts.clock_s = 99;
  facts.options.push_back({"in-process", std::string{"2"}});
  auto const diff = diff_with(facts);
  EXPECT_TRUE(diff.equal());
  EXPECT_THAT(diff.lines, IsEmpty());
  EXPECT_THAT(diff.notes, ElementsAre("option in-process: off / 2"));
  EXPECT_EQ(summary_of(diff), "equal: 5 requests and 10 pages");
}

TEST_F(CheckpointContents, WhatDiffersIsNamed) {
  auto requests = test::sample_requests();
  requests[1].result.tokens[1] = 200;
  requests[2].phase = Phase::done;
  requests[3].length = 4;
  auto facts = test::sample_facts();
  facts.options.push_back({"seed", std::string{"3"}});
  facts.model[0].value = std::string{"LlamaForCausalLM"};
  auto const diff = diff_with(facts, requests);
  EXPECT_THAT(diff.lines,
              ElementsAre("model architecture: MixtralForCausalLM / LlamaForCausalLM", "option seed: 0 / 3",
                          "request 1: tokens differ from generated token 1 on (3 / 3 generated)", "request 2: phase waiting / done",
                          "request 3: tokens in pages 5 / 4", "page of stream 000000000000000b0000000000000003, layer 0, block 1: only in the first",
                          "page of stream 000000000000000b0000000000000003, layer 1, block 1: only in the first"));
  EXPECT_EQ(summary_of(diff), "1 model field, 1 option, 3 requests, 2 pages differ; 2 requests and 8 pages are equal");
}

TEST_F(CheckpointContents, ANameThatMovesTheCursorIsNamedWithoutDoingSo) {
  auto requests = test::sample_requests();
  requests[2].request.id = "a\x1b[2Jb";
  EXPECT_THAT(diff_with(test::sample_facts(), requests).lines, ElementsAre("request 2: id  / a?[2Jb"));
}

TEST_F(CheckpointContents, APageThatWasLeftOutIsNotThere) {
  auto const diff = diff_with(test::sample_facts(), test::sample_requests(), 2);
  EXPECT_THAT(diff.lines, ElementsAre("page of stream 000000000000000b0000000000000001, layer 0, block 1: only in the first"));
  EXPECT_EQ(summary_of(diff), "1 page differs; 5 requests and 9 pages are equal");
}

TEST_F(CheckpointContents, AnotherPayloadIsADifference) {
  auto const other = next_name();
  test::write_sample(other);
  {
    hdf5::File const file{H5Fopen(other.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), "open"};
    hdf5::Dataset const payloads{H5Dopen2(file.get(), "page_payloads", H5P_DEFAULT), "open"};
    std::vector<std::uint8_t> all(10 * test::sample_layout.bytes());
    H5Dread(payloads.get(), H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data());
    all[test::sample_layout.bytes() * 6 + 1] ^= 1;
    H5Dwrite(payloads.get(), H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data());
  }
  EXPECT_THAT(diff_with(other).lines, ElementsAre("page of stream 000000000000000b0000000000000003, layer 0, block 0: other bytes"));
}

TEST_F(CheckpointContents, AreShown) {
  auto const text = show_text(CheckpointReader{name});
  for (char const* part : {"why                  interval", "clock                12.500 s", "2 done, 2 running, 1 waiting", "10 of 512 bytes",
                           "kv-dtype             f32", "layers               2", "größe", "000000000000000b0000000000000001        6", "3/9"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_THAT(list_line(CheckpointReader{name}), HasSubstr("40 2025-01-31T12:00:00Z     1      2       2       1       10"));
}

}   // namespace
}   // namespace pikv::runtime
