#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace pikv::runtime {

/// Parses text that nobody vouches for. Throws InputError, beginning with `what` (a file, or a line of one): not UTF-8, not JSON, a key twice in one
/// object.
nlohmann::json parse_json(std::string_view text, std::string const& what);

bool is_utf8(std::string_view text);

}   // namespace pikv::runtime
