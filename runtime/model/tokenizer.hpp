#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/config.hpp"

namespace pikv::runtime {

/// Text to token ids and back.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;    // without bos
  virtual std::string decode(std::vector<std::int32_t> const& ids) const = 0;   // special tokens left out; any bytes
  virtual bool adds_bos() const = 0;
};

/// The tokenizer of a model folder, or null where none is supported here (then only prompt_ids work). Byte-level (ids are bytes, vocabulary
/// 256, no bos) where the folder has no tokenizer file and vocab_size is 256.
std::unique_ptr<Tokenizer> make_tokenizer(std::filesystem::path const& dir, ModelConfig const& config);

}   // namespace pikv::runtime
