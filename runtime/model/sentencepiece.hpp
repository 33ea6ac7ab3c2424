#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "runtime/model/config.hpp"
#include "runtime/model/tokenizer.hpp"

namespace pikv::runtime {

/// DIR/tokenizer.model by sentencepiece, as Hugging Face uses it for Llama: bos before a text unless tokenizer_config.json has
/// add_bos_token = false; no eos. A special token's name in a text is text. Null in a build without sentencepiece. InputError for a
/// damaged file, more pieces than the model's vocabulary, and add_eos_token.
std::unique_ptr<Tokenizer> make_sentencepiece(std::filesystem::path const& dir, ModelConfig const& config);

bool sentencepiece_built_in();   // false: rebuild with -DPIKV_SENTENCEPIECE=ON

}   // namespace pikv::runtime
