#include "comm/zeroed_memory.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include "comm/error.hpp"

namespace pikv::comm {

ZeroedMemory::ZeroedMemory(std::size_t bytes) : bytes_{bytes} {
  if (bytes == 0) return;
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw RunError(fmt::format("could not allocate {} bytes for remote access; lower --kv-budget", bytes));
  ::madvise(at, bytes, MADV_HUGEPAGE);   // a page of KV is read across many of 4 KiB; without them it only takes longer
  data_ = static_cast<std::byte*>(at);
}

ZeroedMemory::~ZeroedMemory() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

}  // namespace pikv::comm
