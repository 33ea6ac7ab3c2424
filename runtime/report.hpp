#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "runtime/model/config.hpp"
#include "runtime/request.hpp"
#include "runtime/statistics.hpp"

namespace pikv::runtime {

struct ReportInput {
  std::string version, command;
  RunSummary const& summary;
  std::span<Result const> results;      // of all ranks
  ModelConfig const& model;
  std::int64_t parameters = 0;          // of the whole model
  std::string codec = "none";
  double codec_stated_ratio = 1;        // payload and headers of coded pages / the same pages uncompressed, times the share of tokens kept by a selection
  std::string cold_codec = {};          // empty: pages do not cool
  std::int64_t cold_after = 0;
  double cold_stated_ratio = 1;         // as codec_stated_ratio, of pages that are cold
  std::string resumed_from = {};        // the checkpoint this job went on from; empty: none
  std::uint64_t generated_before = 0;   // of the generated tokens, those that were in it
};

/// What --report writes. Keys: docs/files.md. stages_s and all counts are sums over ranks. Null stands where
/// there is nothing to measure: percentiles of no request, hit_rate without page reads.
nlohmann::ordered_json make_report(ReportInput const& input);

/// The file's text: indented, with a newline at its end; bytes that are not UTF-8 (of the command line) become U+FFFD.
std::string report_text(nlohmann::ordered_json const& report);

}  // namespace pikv::runtime
