#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/emulation/history.hpp"

// The emulated device's memory: one range of addresses, and a cell for each of its bytes.
namespace pikv::kernels::emulation {

/// While it lives, device memory can be touched. One thread has it at a time.
class Opened {
 public:
  Opened();
  ~Opened();
  Opened(Opened const&) = delete;   // closes what it has opened
};

std::byte* allocate_device(std::size_t bytes);   // nullptr: none left
bool free_device(void* at);                      // false: no allocation starts there
std::size_t free_device_bytes();
bool is_device(void const* at);
bool holds(void const* at, std::size_t bytes);   // all inside one allocation

/// The cells of at least one byte in the device's range.
Cell* device_cells(void const* at, std::size_t bytes);
void mark_written(void const* at, std::size_t bytes);

/// "12 bytes after the end of an allocation of 64 bytes"
std::string place_on_device(void const* at);

}  // namespace pikv::kernels::emulation
