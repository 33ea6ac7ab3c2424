#pragma once

#include <cstdint>
#include <string>

#include "runtime/given.hpp"

namespace pikv::runtime {

/// Values of options as numbers. Each throws InputError that repeats what was said and names what would do. Nothing is rounded into
/// range, no trailing characters, no `1e9` for a whole number, no inf or nan.

std::int64_t whole_number(Given const& given, std::int64_t least, std::int64_t most);
std::uint64_t seed_number(Given const& given);                              // 0 .. 2^64 - 1
double real_number(Given const& given, double least, double most);          // both ends included
bool flag(Given const& given);                                              // true false on off yes no 1 0

/// `512 MiB`, `1.5GB`: a decimal number and one of KiB MiB GiB kB MB GB, more than 0; in bytes, rounded down.
std::uint64_t size_bytes(Given const& given);
/// `250 ms`, `30s`: a decimal number and one of us ms s min h, more than 0; in seconds.
double seconds(Given const& given);

}  // namespace pikv::runtime
