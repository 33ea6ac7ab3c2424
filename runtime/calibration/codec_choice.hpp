#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "kernels/coded.hpp"
#include "runtime/calibration/calibration.hpp"

namespace pikv::runtime {

/// What an error of keys or values of one head does to the output of its layer's attention, to first order and as a share of what the layer's values
/// amount to, so that errors of keys and values, heads and layers add. With independent errors of tokens the output moves by sum P_t^2 times
///   of values: E|W_o (v - v^)|^2;   of keys: E(q.k - q.k^)^2 / d  E|W_o (v - mean)|^2
/// and the sum is common to both.
double output_error(Calibration const& calibration, Part part, std::int32_t layer, std::int32_t head, MapError const& lost);

/// Ranks of lora_plus maps by methods 3.2 (2): weighted eigenvalues of all layers, heads, keys and values in one pool, in the unit of output_error.
/// Multiples of 8, whose mean is at most mean_rank, from 8 on.
ByHead<std::int32_t> pooled_ranks(Calibration const& calibration, double mean_rank);

inline constexpr std::string_view rotation = "rotate";   // the map that takes no calibration

/// How one head's keys or values are stored. map: a family's name, or `none`, then rank is head_dim, or `rotate`.
struct PartChoice {
  std::string map{no_map};
  std::int32_t rank = 0;
  kernels::Element element = kernels::Element::bf16;
  double mean_bits = 0;   // of mixed
};

/// As a user would write it: "rotate+mixed:3", "svd:32+int8", "int4".
std::string text_of(PartChoice const& choice);

/// What it loses by the calibration; mixed: as that has measured it.
MapError held_out(Calibration const& calibration, Part part, std::int32_t layer, std::int32_t head, PartChoice const& choice);

struct CodecChoice {
  ByHead<PartChoice> parts;
  double bytes = 0;   // of a token, in all layers
  double error = 0;   // sum of output_error
};

/// Bytes a token of one head takes.
using PartBytes = std::function<double(Part part, PartChoice const& choice)>;
/// Two bytes a number, or its codes and the two fp16 (of mixed two bytes) of its group: 32 tokens of a channel of keys (page_tokens, if that is less),
/// 32 numbers of a token of values.
double part_bytes(Part part, PartChoice const& choice, std::int32_t page_tokens);

/// `--codec auto`: map (none, svd, lora_plus), rank and element (bf16, int8, int4, int3) of every layer, head, keys and values, or keys of mixed bits and
/// turned values of mixed bits, so that a token takes at most `bytes` in all layers and the least is lost by held-out errors
/// (shards/codecs/auto_choice.hpp). The heads of a layer share the element, and mean bits, as pages want it; keys and values differ. If even the least takes more, that is what is chosen.
/// Keys keep all their channels unless nothing else fits: what a map drops of them is the same for all tokens that a query attends to, and costs attention
/// tens of times what its share of (q.k)^2 says, which is where the first-order unit of errors ends.
CodecChoice choose_codec(Calibration const& calibration, double bytes, PartBytes const& bytes_of);

}   // namespace pikv::runtime
