#pragma once

#include <cstdlib>

namespace pikv::test {

/// True under a sanitizer, where everything is slow: run fewer cases.
inline bool small_form() { return std::getenv("PIKV_SMALL_TESTS") != nullptr; }

}   // namespace pikv::test
