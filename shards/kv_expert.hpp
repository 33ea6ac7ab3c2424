#pragma once

#include <cstdint>

namespace pikv::shards {

/// One of E_kv groups of pages, chosen when a page is sealed, by a home policy (homes.hpp). Not the model's FFN expert,
/// and never a function of the rank count.
using KvExpert = std::int32_t;
inline constexpr KvExpert default_kv_experts = 64;

}  // namespace pikv::shards
