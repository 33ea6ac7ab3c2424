#include "shards/codecs/maps.hpp"

#include "shards/codecs/maps/lora.hpp"
#include "shards/codecs/maps/lora_plus.hpp"
#include "shards/codecs/maps/prune.hpp"
#include "shards/codecs/maps/svd.hpp"

namespace pikv::shards {

std::map<std::string_view, MapFamily> const& map_families() {
  static std::map<std::string_view, MapFamily> const table{
      {"distill", {"low rank, fitted to what attention makes of it, for the ranks chosen at calibration; starts from lora_plus", nullptr}},
      {"lora", {"low rank, the basis of keys (values) as they are: the least squared error without a mean", lora_map}},
      {"lora_plus", {"low rank, weighted by the queries (the output projection): the least error of logits (outputs)", lora_plus_map}},
      {"prune", {"the channels that weigh most in logits (outputs), the others are dropped", prune_map}},
      {"svd", {"low rank, the basis of keys (values) around their mean: the least squared error", svd_map}},
  };
  return table;
}

}  // namespace pikv::shards
