#pragma once

#include <functional>
#include <memory>

#include "runtime/calibration/codec_choice.hpp"
#include "runtime/model/config.hpp"
#include "runtime/options.hpp"
#include "shards/page_codecs.hpp"

namespace pikv::runtime {

/// How the pages of a model are stored.
struct PageStorage {
  std::shared_ptr<shards::PageCodecs const> codecs;   // null: pages stay as they are
  ByHead<PartChoice> parts;                           // what codecs of calibration are made of, by layer * kv_heads + head; empty without
};

/// What the options name. `calibration`: null unless they want one. Throws InputError if the model's heads or pages do not take the codec.
PageStorage make_page_storage(GenerateOptions const& options, ModelConfig const& config, Calibration const* calibration);

/// Whether everything a job wants to keep fits with these codecs.
using FitsBudget = std::function<bool(shards::PageCodecs const&)>;
/// `--codec auto`: of choose_codec's choices the one that loses least among those that fit, or the smallest if none does.
PageStorage choose_page_storage(GenerateOptions const& options, ModelConfig const& config, Calibration const& calibration, FitsBudget const& fits);

/// Held-out relative squared errors of what is stored so, for DriftCheck: 0 where nothing is lost.
ByHead<double> expected_errors(ByHead<PartChoice> const& parts, Calibration const& calibration);

}  // namespace pikv::runtime
