#pragma once

#include <span>
#include <vector>

namespace pikv::runtime {

struct EplbShape {
  int slots = 0;              // R, a multiple of gpus, at least as many as shards
  int groups = 1, nodes = 1;  // where groups % nodes != 0 both count as 1 ("global")
  int gpus = 1;               // a multiple of nodes
};

/// DeepSeek's expert-parallel load balancer (methods 1.6; github.com/deepseek-ai/EPLB): which shard each of R physical slots holds, given
/// the shards' loads. Groups of shards are packed on nodes; inside a node the shard with the largest load per slot gets another slot until
/// all are used; slots are packed on GPUs, equally many on each. Packing: by falling load, each to the pack with the least that has room;
/// ties go to the lower number. Returns [slots]: GPU g holds slots g R / gpus and on; each shard is there at least once.
/// std::logic_error for a shape that does not divide.
std::vector<int> eplb(std::span<double const> load, EplbShape shape);

}  // namespace pikv::runtime
