#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace pikv::runtime {

/// One page of text for a person, from the numbers of make_report(). Ends with a newline.
std::string summary_text(nlohmann::ordered_json const& report);

}  // namespace pikv::runtime
