#pragma once

#include <map>
#include <string>
#include <string_view>

#include "runtime/scheduling/schedulers.hpp"
#include "shards/codec.hpp"

namespace pikv::runtime {

/// A stage of --codec that selects tokens, as `pyramid:0.5`.
struct Selection {
  std::string name;
  double parameter = .5;
};

/// A codec of the paper that saves memory by keeping fewer tokens (methods 3.3, 3.4, 3.6). It decides as a scheduler does, once the prompt is in.
struct SelectionEntry {
  SchedulerEntry policy;
  double (*keep)(double parameter);                          // what the policy is made with
  double (*share)(double parameter, std::int32_t layers);    // of all layers' tokens that stay: its stated ratio
};

/// name -> policy; shards/codec.cpp has the same names among the codecs. The tests that try each scheduler read this table.
std::map<std::string_view, SelectionEntry> const& selections();

/// Checked; without a parameter the default, .5. Throws InputError.
Selection make_selection(shards::CodecStage const& stage);

/// Of `schedulers()` or `selections()`.
SchedulerEntry const& policy_named(std::string_view name);

}   // namespace pikv::runtime
