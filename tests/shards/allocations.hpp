#pragma once

#include <cstddef>

namespace pikv::test {

/// How often this process has called operator new so far. A program that calls it gets a counting operator new.
std::size_t allocations();

}  // namespace pikv::test
