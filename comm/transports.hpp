#pragma once

#include <map>
#include <string_view>

namespace pikv::comm {

/// Names for --transport that exist in this build, each with one sentence for `pikv list transports`.
std::map<std::string_view, std::string_view> const& transports();

}  // namespace pikv::comm
