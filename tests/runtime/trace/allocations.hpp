#pragma once

#include <cstddef>

namespace pikv::runtime::test {

/// Calls of operator new in this process so far, of all threads.
std::size_t allocations();

}  // namespace pikv::runtime::test
