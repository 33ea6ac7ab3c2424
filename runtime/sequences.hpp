#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/batch.hpp"
#include "runtime/cache_manager.hpp"
#include "runtime/fast_share.hpp"
#include "runtime/layer_probe.hpp"
#include "runtime/checkpoint/writer.hpp"
#include "runtime/request.hpp"
#include "runtime/sampler.hpp"
#include "shards/store.hpp"

namespace pikv::runtime {

struct SequenceOptions {
  std::int32_t batch = 8;           // running sequences at once
  std::int32_t prefill_chunk = 256; // prompt rows in a step, less the decode rows
  SamplingOptions sampling;
  bool keep_logits = false;         // Result::logits
  bool all_positions = false;       // logits of prompt positions too, for the observer
  FastShare fast;                   // of a stream's pages, that its request reserves
};

/// Called for each row of logits that counts: those after the last prompt token and after each generated one; with all_positions
/// those of every position. `position` is of the token the row follows. A position computed again after a rewind comes again.
using LogitsObserver = std::function<void(Request const& request, std::int64_t position, std::span<float const> logits)>;

/// What a job that goes on from a checkpoint knows; borrowed. `requests` by index.
struct Resumed {
  std::vector<SavedRequest> const& requests;
  RestoredPages const& pages;
};

/// The requests of one home: which wait, which run, what each step computes for them, and what became of them (continuous batching,
/// chunked prefill, rewinds). Knows nothing of other ranks. Of a job that goes on, requests that ran are the first to be admitted, and their
/// pages are read, a bounded part in each plan, before they compute again.
class Sequences {
 public:
  Sequences(shards::Store& store, ModelConfig const& config, Tokenizer const* tokenizer, SequenceOptions const& options, int rank,
            std::vector<Request const*> requests, LogitsObserver observer, Resumed const* resumed = nullptr,
            CacheManager* cache = nullptr);

  /// The first waiting requests that have arrived, as many as may run beside those that do.
  std::span<Request const* const> heads(double now) const;
  /// Pages it needs in the long run: every block of prompt and new tokens, in every layer.
  static std::int64_t pages_needed(Request const& request, std::int32_t page_tokens, std::int32_t layers);
  /// Of these, those that stay in the fast tier.
  std::int64_t pages_reserved(Request const& request) const;
  /// The first that waits starts to run in the next plan.
  void admit();

  void plan(Batch& batch);
  /// After end_step: takes the sampled tokens, ends what is done, rewinds what was damaged, or ends it if that cannot help.
  void apply(Batch const& batch, std::span<float const> logits, std::span<shards::Damage const> damages, shards::Step step, double now);

  /// Hears of ended streams.
  void watch(LayerProbe* probe) { probe_ = probe; }
  bool idle() const { return running_.empty() && next_waiting_ == waiting_.size(); }
  std::size_t running() const { return running_.size(); }
  double next_arrival() const;   // infinity if none waits
  std::int64_t reserved_pages(shards::Step step);
  std::uint64_t generated() const { return generated_; }
  /// From the checkpoint, in the last plan.
  std::int32_t blocks_read() const { return blocks_read_; }
  /// At the control slot: what a checkpoint has to hold of this home.
  HomeState state() const;
  std::vector<Result>& results() { return results_; }

 private:
  struct Sequence {
    Request const* request = nullptr;
    shards::Stream* stream = nullptr;
    std::vector<std::int32_t> tokens;   // prompt and generated
    std::string text;                   // generated, for stop strings
    std::int64_t pages = 0;
    shards::Block unread_from = 0, unread_end = 0;   // blocks that are still only in the checkpoint
    int steps_without_room = 0;                      // for the next of them
    bool policy_unread = false;                      // so is the state of its policies
    bool ended = false;
    Result result;
  };
  struct Lingering {   // pages of an ended request, until they are surely free everywhere
    std::int64_t pages;
    shards::Step until;
  };
  void add_refused(Request const& request);
  void add_ended(Result const& result);   // before this run
  /// The request's state in the checkpoint, null without one or where it had not begun.
  SavedRequest const* saved(Request const& request) const;
  void load(Sequence& sequence, std::size_t& free_slots, std::size_t& bytes_left);
  void load_policy(Sequence& sequence);
  void add_policy(Sequence const& sequence, HomeState::Progress& progress) const;
  void add_rows(Batch& batch, Sequence& sequence, std::int32_t rows, std::size_t& free_slots);
  void take_token(Sequence& sequence, std::span<float const> logits, double now);
  void damaged(Sequence& sequence, shards::Damage const& damage, double now);
  void end(Sequence& sequence, Finish finish, double now);
  void retire_ended(shards::Step step);

  shards::Store& store_;
  ModelConfig const& config_;
  Tokenizer const* tokenizer_;
  SequenceOptions options_;
  int rank_;
  LogitsObserver observer_;
  Resumed const* resumed_;
  CacheManager* cache_;
  LayerProbe* probe_ = nullptr;
  Sampler sampler_;
  std::vector<Request const*> waiting_;   // by arrival, then index
  std::size_t next_waiting_ = 0;
  std::vector<std::unique_ptr<Sequence>> running_;
  std::vector<Sequence*> planned_;        // whose rows the batch's segments are
  std::vector<Lingering> lingering_;
  std::vector<Result> results_;
  std::uint64_t generated_ = 0;
  std::int32_t blocks_read_ = 0;
};

}  // namespace pikv::runtime
