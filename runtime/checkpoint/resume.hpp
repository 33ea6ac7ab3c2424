#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "comm/world.hpp"
#include "runtime/checkpoint/restored_pages.hpp"
#include "runtime/model/model.hpp"
#include "runtime/options.hpp"
#include "shards/page.hpp"

namespace pikv::runtime {

/// A checkpoint that a job goes on from, on this rank. Stays where it is: RestoredPages points into it.
class Continuation {
 public:
  /// Collective. Rank 0 finds the newest if options.resume is a folder, and looks at the file in a process apart. Throws AgreedError.
  Continuation(comm::World& world, GenerateOptions const& options);

  CheckpointReader const& checkpoint() const { return *checkpoint_; }
  /// "DIR/step-000000000123.h5 (step 123)"
  std::string name() const;

  /// Collective, once the model is known: refuses another model or page shape by the name of the field, then all ranks together verify every
  /// page, before any is used. Throws AgreedError.
  void verify(comm::World& world, Model const& model, GenerateOptions const& options, shards::PageCodecs const* codecs);
  RestoredPages const& pages() const { return *pages_; }

 private:
  std::optional<CheckpointReader> checkpoint_;
  std::optional<RestoredPages> pages_;
};

/// The options of a job that goes on: those of the checkpoint, and over them what is given now. Throws InputError on one that would change
/// the result, or has no effect, by name. Options that say where and how the job runs (ranks in process, transport, trace, ...) are not taken
/// over, nor those of the checkpoint that have no effect beside what is given now.
GenerateOptions resumed_options(GenerateOptions const& now, CheckpointFacts const& checkpoint, std::string const& from);

/// Whether another value of this option of `pikv generate` gives other tokens, so that a job cannot go on with it.
bool decides_the_result(std::string_view option);
/// What a job had for the option: as given, else the default as --help says it.
std::string value_of(Attributes const& given, std::string_view option);

/// Rows for CheckpointFacts::options.
Attributes given_attributes(GivenOptions const& given);

}  // namespace pikv::runtime
