#include "runtime/model/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "comm/error.hpp"
#include "runtime/model/json.hpp"
#include "runtime/model/mapped_file.hpp"

namespace pikv::runtime {
namespace {

using Json = nlohmann::json;
constexpr std::int64_t largest_extent = 1 << 24;   // products of two fit 64 bits, rows of one fit 32
constexpr std::int64_t largest_16_bit = 65535;     // layers and heads in a page's key

class Fields {
 public:
  Fields(std::string file, Json json) : file_{std::move(file)}, json_(std::move(json)) {}

  /// The value of `key`, or null where it is absent or null.
  Json const& value(char const* key) const {
    static Json const none;
    auto const found = json_.find(key);
    return found == json_.end() ? none : *found;
  }

  bool has(char const* key) const { return !value(key).is_null(); }

  std::int32_t integer(char const* key, std::int64_t least, std::int64_t most) const { return integer(key, required(key), least, most); }

  std::int32_t integer_or(char const* key, std::int32_t otherwise, std::int64_t least, std::int64_t most) const {
    return has(key) ? integer(key, value(key), least, most) : otherwise;
  }

  bool flag_or(char const* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!value(key).is_boolean()) refuse(key, "is neither true nor false");
    return value(key).get<bool>();
  }

  float positive(char const* key) const { return positive(key, required(key)); }

  float positive(char const* key, Json const& number) const {
    auto const x = number.is_number() ? number.get<float>() : 0.f;
    if (!(x > 0) || !std::isfinite(x)) refuse(key, "is not a positive number");
    return x;
  }

  std::vector<std::int32_t> ids(char const* key, std::int32_t vocab) const {
    std::vector<std::int32_t> ids;
    for (Json const& id : value(key).is_array() ? value(key) : Json::array({value(key)}))
      if (!id.is_null()) ids.push_back(integer(key, id, 0, vocab - 1));
    return ids;
  }

  Json const& required(char const* key) const {
    if (!has(key)) throw InputError(fmt::format("{} has no \"{}\"; give a folder in Hugging Face layout", file_, key));
    return value(key);
  }

  [[noreturn]] void refuse(char const* key, std::string const& why) const {
    throw InputError(fmt::format("{}: {} = {} {}; choose another model", file_, key, shown(value(key)), why));
  }

 private:
  std::int32_t integer(char const* key, Json const& number, std::int64_t least, std::int64_t most) const {
    bool const fits = number.is_number_integer() &&
                      !(number.is_number_unsigned() && number.get<std::uint64_t>() > static_cast<std::uint64_t>(most)) &&
                      number.get<std::int64_t>() >= least;
    if (!fits) refuse(key, fmt::format("is not a whole number from {} to {}", least, most));
    return number.get<std::int32_t>();
  }

  static std::string shown(Json const& json) {
    auto const text = json.is_structured() ? std::string{json.is_array() ? "[..]" : "{..}"} : json.dump();
    return text.size() <= 60 ? text : text.substr(0, 57) + "...";
  }

  std::string file_;
  Json json_;
};

Architecture const& read_architecture(Fields const& fields) {
  Json const& names = fields.required("architectures");
  if (!names.is_array() || names.size() != 1 || !names[0].is_string()) fields.refuse("architectures", "is not a list of one name");
  auto const& name = names[0].get_ref<std::string const&>();
  if (auto const* const known = find_architecture(name)) return *known;
  std::vector<std::string_view> names_known;
  for (auto const& known : architectures()) names_known.push_back(known.name);
  fields.refuse("architectures", fmt::format("names {}, which is not supported ({} are)", name, fmt::join(names_known, ", ")));
}

float read_rope_theta(Fields const& fields, Architecture const& architecture) {
  for (char const* key : {"rope_scaling", "rope_parameters"}) {
    if (!fields.has(key)) continue;
    Json const& rope = fields.value(key);
    if (!rope.is_object()) fields.refuse(key, "is not an object");
    for (char const* type : {"rope_type", "type"})
      if (rope.contains(type) && rope[type] != "default")
        fields.refuse(key, fmt::format("has {} {}, and scaled rope is not supported", type, rope[type].dump()));
    if (std::ranges::any_of(rope, [](Json const& part) { return part.is_structured(); }))
      fields.refuse(key, "differs by layer, which is not supported");
    if (rope.contains("partial_rotary_factor") && rope["partial_rotary_factor"] != 1)
      fields.refuse(key, "rotates a part of each head, which is not supported");
  }
  if (fields.has("rope_parameters") && fields.value("rope_parameters").contains("rope_theta"))
    return fields.positive("rope_parameters", fields.value("rope_parameters")["rope_theta"]);
  if (!fields.has("rope_theta") && architecture.rope_theta) return *architecture.rope_theta;
  return fields.positive("rope_theta");
}

void refuse_unsupported(Fields const& fields, ModelConfig const& config) {
  if (fields.has("sliding_window") && fields.flag_or("use_sliding_window", true) &&
      fields.integer("sliding_window", 1, std::numeric_limits<std::int32_t>::max()) < config.max_positions)
    fields.refuse("sliding_window", fmt::format("is shorter than the context of {}, and a sliding window is not supported", config.max_positions));
  for (char const* key : {"attention_bias", "mlp_bias"})
    if (fields.flag_or(key, false)) fields.refuse(key, "is not supported");
  for (char const* key : {"clip_qkv", "quantization_config"})
    if (fields.has(key)) fields.refuse(key, "is not supported");
  if (fields.integer_or("decoder_sparse_step", 1, 0, std::numeric_limits<std::int32_t>::max()) != 1)
    fields.refuse("decoder_sparse_step", "makes some layers dense, which is not supported (1 is)");
  if (fields.has("mlp_only_layers") && fields.value("mlp_only_layers") != Json::array())
    fields.refuse("mlp_only_layers", "makes some layers dense, which is not supported ([] is)");
  if (fields.has("partial_rotary_factor") && fields.value("partial_rotary_factor") != 1)
    fields.refuse("partial_rotary_factor", "is not supported (1 is)");
  if (fields.has("hidden_act") && fields.value("hidden_act") != "silu") fields.refuse("hidden_act", "is not supported (\"silu\" is)");
  if (fields.has("layer_types")) {
    Json const& types = fields.value("layer_types");
    if (!types.is_array() || std::ranges::any_of(types, [](Json const& type) { return type != "full_attention"; }))
      fields.refuse("layer_types", "is not supported unless every layer has full_attention");
  }
}

void read_gate(Fields const& fields, Architecture const& architecture, char const* count_key, ModelConfig& config) {
  config.experts = fields.integer(count_key, 1, largest_16_bit);
  config.experts_per_token = fields.integer("num_experts_per_tok", 1, config.experts);
  config.equal_experts = fields.flag_or("pikv_equal_experts", false);
  auto const says = fields.flag_or("norm_topk_prob", false) ? kernels::GateWeights::sum_to_one : kernels::GateWeights::of_all;
  config.gate_weights = architecture.gate_weights.value_or(says);
}

}   // namespace

ModelConfig read_config(std::filesystem::path const& dir) {
  auto const path = dir / "config.json";
  MappedFile const text{path};
  auto json = parse_json({reinterpret_cast<char const*>(text.bytes().data()), text.bytes().size()}, path.string());
  if (!json.is_object()) throw InputError(path.string() + " is not a JSON object; give a folder in Hugging Face layout");
  Fields const fields{path.string(), std::move(json)};

  ModelConfig config;
  auto const& architecture = read_architecture(fields);
  config.architecture = architecture.name;
  config.qk_norm = architecture.qk_norm;
  config.vocab = fields.integer("vocab_size", 1, largest_extent);
  config.hidden = fields.integer("hidden_size", 1, largest_extent);
  config.layers = fields.integer("num_hidden_layers", 1, largest_16_bit);
  config.intermediate = fields.integer(architecture.experts.width_key, 1, largest_extent);
  config.max_positions = fields.integer("max_position_embeddings", 1, std::numeric_limits<std::int32_t>::max());
  config.rms_eps = fields.positive("rms_norm_eps");
  config.rope_theta = read_rope_theta(fields, architecture);
  config.tied_embedding = fields.flag_or("tie_word_embeddings", false);

  config.q_heads = fields.integer("num_attention_heads", 1, largest_16_bit);
  config.kv_heads = fields.integer_or("num_key_value_heads", config.q_heads, 1, config.q_heads);
  if (config.q_heads % config.kv_heads != 0) fields.refuse("num_key_value_heads", fmt::format("does not divide the {} query heads", config.q_heads));
  if (!fields.has("head_dim") && config.hidden % config.q_heads != 0)
    fields.refuse("num_attention_heads", fmt::format("does not divide hidden_size = {}, and head_dim is not given", config.hidden));
  config.head_dim = fields.integer_or("head_dim", config.hidden / config.q_heads, 2, largest_extent / config.q_heads);
  if (config.head_dim % 2 != 0)
    fields.refuse("head_dim", fmt::format("makes heads of {}, an odd size that rotary embedding cannot pair", config.head_dim));

  if (auto const* const count_key = architecture.experts.count_key) read_gate(fields, architecture, count_key, config);
  auto const bos = fields.ids("bos_token_id", config.vocab);
  if (!bos.empty()) config.bos = bos.front();
  config.eos = fields.ids("eos_token_id", config.vocab);
  refuse_unsupported(fields, config);
  return config;
}

}   // namespace pikv::runtime
