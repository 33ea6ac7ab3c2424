#pragma once

#include <cstddef>

namespace pikv::test {

/// Bytes that containers of this process got from operator new and have not given back so far. A program that calls it gets operators of its own;
/// their memory is not counted down where a delete does not say the size.
std::ptrdiff_t live_bytes();

}  // namespace pikv::test
