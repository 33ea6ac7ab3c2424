#include "kernels/emulation/history.hpp"

#include <algorithm>
#include <bit>

namespace pikv::kernels::emulation {
namespace {

bool is_in_order_after_write(Cell const& cell, Kind kind, Place me, History const& history) {
  if (!history.in_this_launch(cell.written) || (cell.written_by_atomic && kind == Kind::atomic)) return true;
  if (!history.in_this_block(cell.written)) return false;   // another block's
  if (cell.written != history.now() || cell.writer == me.thread) return true;
  return cell.writer / 32u == me.warp() && history.has_seen(me, cell.writer % 32u, cell.written_tick);
}

bool is_in_order_after_reads(Cell const& cell, Place me, History const& history) {
  if (!history.in_this_launch(cell.read)) return true;
  if (!history.in_this_block(cell.read)) return false;
  if (cell.read != history.now()) return true;
  if (cell.read_warp != me.warp()) return false;
  for (std::uint32_t left = cell.read_lanes & ~(1u << me.lane()); left != 0; left &= left - 1)
    if (!history.has_seen(me, static_cast<unsigned>(std::countr_zero(left)), cell.read_tick)) return false;
  return true;
}

// Lanes that read it at this moment before `me` need not be remembered: what comes after `me` comes after them.
void note_read(Cell& cell, Place me, History const& history) {
  auto const warp = static_cast<std::uint8_t>(me.warp());
  if (cell.read != history.now()) {
    cell.read = history.now();
    cell.read_warp = warp;
    cell.read_lanes = 0;
    cell.read_tick = 0;
  } else if (cell.read_warp != warp) {
    cell.read_warp = many_warps;
  } else {
    std::uint32_t before = 0;
    for (std::uint32_t left = cell.read_lanes; left != 0; left &= left - 1)
      if (history.has_seen(me, static_cast<unsigned>(std::countr_zero(left)), cell.read_tick)) before |= left & -left;
    cell.read_lanes &= ~before;
    if (cell.read_lanes == 0) cell.read_tick = 0;
  }
  cell.read_lanes |= 1u << me.lane();
  cell.read_tick = std::max(cell.read_tick, me.tick);
}

}  // namespace

void History::sync_lanes(unsigned warp, unsigned mask) {
  Warp& of = warps_[warp];
  std::uint16_t tick = 0;
  std::array<std::uint16_t, 32> seen{};
  for (unsigned lane = 0; lane < 32; ++lane) {
    if (!(mask >> lane & 1)) continue;
    tick = std::max(tick, of.tick[lane]);
    for (unsigned other = 0; other < 32; ++other) seen[other] = std::max(seen[other], of.seen[lane][other]);
  }
  ++tick;
  for (unsigned lane = 0; lane < 32; ++lane)
    if (mask >> lane & 1) seen[lane] = of.tick[lane] = tick;
  for (unsigned lane = 0; lane < 32; ++lane)
    if (mask >> lane & 1) of.seen[lane] = seen;
}

Finding note_access(Cell& cell, Kind kind, Place me, History const& history, bool shared) {
  bool const written = shared ? history.in_this_block(cell.written) : cell.written > not_written;
  if (!shared && cell.written == not_allocated) return Finding::outside;
  if (kind != Kind::write && !written) return Finding::unwritten;
  bool const of_this_block = !shared || written;   // what another block left in shared memory matters to none
  if (of_this_block && !is_in_order_after_write(cell, kind, me, history)) return Finding::races_with_write;
  if (kind == Kind::read) {
    note_read(cell, me, history);
    return Finding::fine;
  }
  if ((!shared || history.in_this_block(cell.read)) && !is_in_order_after_reads(cell, me, history)) return Finding::races_with_read;
  cell.written = history.now();
  cell.writer = me.thread;
  cell.written_tick = me.tick;
  cell.written_by_atomic = kind == Kind::atomic;
  return Finding::fine;
}

}  // namespace pikv::kernels::emulation
