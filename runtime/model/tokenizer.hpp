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
  /// What these ids add to the text before them: special tokens left out, any bytes; that of two lists is that of one after the other.
  virtual std::string decode(std::vector<std::int32_t> const& ids) const = 0;
  virtual std::int32_t bos() const = 0;   // what every text begins with; -1: nothing
};

/// The tokenizer of a model folder, or null where none is supported here (then only prompt_ids work). tokenizer.model goes before any other
/// (sentencepiece.hpp); byte-level (ids are bytes, vocabulary 256, no bos) where the folder has no tokenizer file and vocab_size is 256.
/// Throws InputError where the file is damaged.
std::unique_ptr<Tokenizer> make_tokenizer(std::filesystem::path const& dir, ModelConfig const& config);

/// Where make_tokenizer gives null: why, and what helps, as part of a sentence.
std::string why_no_tokenizer(std::filesystem::path const& dir);

}   // namespace pikv::runtime
