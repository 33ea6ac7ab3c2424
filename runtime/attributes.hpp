#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "comm/faults.hpp"
#include "runtime/model/config.hpp"
#include "runtime/options.hpp"

namespace pikv::runtime {

/// A name and a value that describe the run, in the trace and in the report alike.
struct Attribute {
  std::string name;
  std::variant<std::string, std::int64_t, double> value;
};
using Attributes = std::vector<Attribute>;

std::int64_t number_in(Attributes const& attributes, std::string_view name, std::int64_t otherwise);
double real_in(Attributes const& attributes, std::string_view name, double otherwise);
std::string text_in(Attributes const& attributes, std::string_view name);   // empty if missing

/// `parameters`: of the whole model. Yes-or-no values are 0 or 1.
Attributes model_attributes(ModelConfig const& model, std::int64_t parameters);

/// How often each kind of fault took place.
Attributes fault_attributes(comm::FaultCounts const& faults);

/// The value in force of every option, defaults included, under the name the command line uses; `given` lists those the user gave.
Attributes option_attributes(GenerateOptions const& options);

}  // namespace pikv::runtime
