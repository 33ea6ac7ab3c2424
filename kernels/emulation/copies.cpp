#include "kernels/emulation/copies.hpp"

#include <fmt/format.h>

#include <cstring>
#include <map>
#include <memory>
#include <vector>

namespace pikv::kernels::emulation {
namespace {

struct Copy {
  std::byte* to;            // null: it was made
  std::byte const* from;    // that must not change; null: a copy out
  std::vector<std::byte> values;
};

std::map<std::byte const*, std::pair<std::unique_ptr<std::byte[]>, std::size_t>> pinned;
std::map<void const*, std::vector<Copy>> under_way;   // by stream

std::string finish(std::vector<Copy>& copies) {
  std::string trouble;
  for (Copy const& copy : copies) {
    if (copy.to != nullptr)
      std::memcpy(copy.to, copy.values.data(), copy.values.size());
    else if (std::memcmp(copy.from, copy.values.data(), copy.values.size()) != 0)
      trouble = fmt::format("host memory of {} bytes has changed since it was to be copied to the device, which nobody has waited for", copy.values.size());
  }
  copies.clear();
  return trouble;
}

}  // namespace

std::byte* allocate_pinned(std::size_t bytes) {
  auto memory = std::make_unique<std::byte[]>(bytes);
  std::byte* const at = memory.get();
  pinned.emplace(at, std::pair{std::move(memory), bytes});
  return at;
}

bool free_pinned(void* at) { return pinned.erase(static_cast<std::byte const*>(at)) > 0; }

bool is_pinned(void const* at) {
  auto const after = pinned.upper_bound(static_cast<std::byte const*>(at));
  if (after == pinned.begin()) return false;
  auto const& [base, memory] = *std::prev(after);
  return static_cast<std::byte const*>(at) < base + memory.second;
}

void copy_out_later(void const* stream, std::byte* to, std::byte const* from, std::size_t bytes) {
  under_way[stream].push_back({to, nullptr, {from, from + bytes}});
  std::memset(to, 0xFF, bytes);
}

void expect_unchanged(void const* stream, std::byte const* from, std::size_t bytes) { under_way[stream].push_back({nullptr, from, {from, from + bytes}}); }

std::string finish_copies(void const* stream) { return finish(under_way[stream]); }

std::string finish_all_copies() {
  std::string trouble;
  for (auto& [stream, copies] : under_way)
    if (std::string const one = finish(copies); !one.empty()) trouble = one;
  return trouble;
}

}  // namespace pikv::kernels::emulation
