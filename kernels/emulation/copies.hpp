#pragma once

#include <cstddef>
#include <string>

// Copies with pinned host memory, which a GPU may make at any time up to the wait for their stream: what is copied out comes only then (until then NaN is
// there), and what is copied in must still be what it was.
namespace pikv::kernels::emulation {

std::byte* allocate_pinned(std::size_t bytes);
bool free_pinned(void* at);   // false: no allocation starts there
bool is_pinned(void const* at);

/// While Opened lives.
void copy_out_later(void const* stream, std::byte* to, std::byte const* from, std::size_t bytes);
/// Once it was made.
void expect_unchanged(void const* stream, std::byte const* from, std::size_t bytes);
/// Those of a stream, or of all. What went wrong, if anything did.
std::string finish_copies(void const* stream);
std::string finish_all_copies();

}  // namespace pikv::kernels::emulation
