#include "comm/fault_source.hpp"

#include <utility>

namespace pikv::comm {
namespace {

std::uint64_t splitmix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

Draw FaultSource::draw(Operation operation, std::size_t bytes) {
  std::uint64_t const n = operations_++;
  std::uint64_t const random = splitmix64(splitmix64(splitmix64(plan_.seed) ^ static_cast<std::uint64_t>(rank_)) ^ n);
  if (!concerns(operation) || step_ < plan_.first_step || step_ >= plan_.last_step) return {};
  Fault const fault = choose(static_cast<double>(random >> 11) * 0x1p-53);
  bool const of_puts_only = fault == Fault::duplicate || fault == Fault::reorder;
  bool const of_bytes = fault == Fault::flip || fault == Fault::truncate;
  if (fault == Fault::none || (of_puts_only && operation != Operation::put) || (of_bytes && bytes == 0)) return {};
  ++count(fault);
  return {fault, splitmix64(random)};
}

Fault FaultSource::choose(double u) const {
  std::pair<Fault, double> const table[] = {{Fault::drop, plan_.drop},       {Fault::delay, plan_.delay}, {Fault::duplicate, plan_.duplicate},
                                            {Fault::reorder, plan_.reorder}, {Fault::flip, plan_.flip},   {Fault::truncate, plan_.truncate},
                                            {Fault::stall, plan_.stall}};
  for (auto const& [fault, probability] : table) {
    if (u < probability) return fault;
    u -= probability;
  }
  return Fault::none;
}

bool FaultSource::concerns(Operation operation) const {
  switch (operation) {
    case Operation::put: return plan_.on_put;
    case Operation::get: return plan_.on_get;
    case Operation::message: return plan_.on_message;
  }
  return false;
}

std::uint64_t& FaultSource::count(Fault fault) {
  switch (fault) {
    case Fault::drop: return counts_.drop;
    case Fault::delay: return counts_.delay;
    case Fault::duplicate: return counts_.duplicate;
    case Fault::reorder: return counts_.reorder;
    case Fault::flip: return counts_.flip;
    case Fault::truncate: return counts_.truncate;
    default: return counts_.stall;
  }
}

}  // namespace pikv::comm
