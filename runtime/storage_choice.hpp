#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "runtime/calibration/calibration.hpp"
#include "runtime/model/config.hpp"
#include "runtime/options.hpp"
#include "shards/codec.hpp"
#include "shards/page_codecs.hpp"

namespace pikv::runtime {

/// What --codec, --codec-k and --codec-v say together.
struct StorageChoice {
  std::optional<shards::CodecStage> selection;   // of tokens: a scheduler's work (runtime/scheduling/selections.hpp)
  shards::CodecSpec k, v;
  bool automatic = false;   // chosen by layer and head, to fit --kv-budget

  shards::CodecSpec const& of(Part part) const { return part == Part::keys ? k : v; }
  bool codes() const { return automatic || !k.stores_as_is() || !v.stores_as_is(); }
  bool wants_calibration() const;
};

/// Throws InputError.
StorageChoice storage_choice(GenerateOptions const& options);

/// Whether everything a job wants to keep fits with these codecs.
using FitsBudget = std::function<bool(shards::PageCodecs const&)>;
/// `--codec auto`: of choose_codec's choices the one that loses least among those that fit, or the smallest if none does.
std::shared_ptr<shards::PageCodecs const> choose_page_codecs(GenerateOptions const& options, ModelConfig const& config, Calibration const& calibration,
                                                             FitsBudget const& fits);

/// Null where pages stay as they are. `calibration`: null unless the choice wants one. Throws InputError if the model's heads or pages do not take the codec.
std::shared_ptr<shards::PageCodecs const> make_page_codecs(GenerateOptions const& options, ModelConfig const& config, Calibration const* calibration);

}  // namespace pikv::runtime
