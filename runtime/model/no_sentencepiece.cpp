#include "runtime/model/sentencepiece.hpp"

namespace pikv::runtime {

std::unique_ptr<Tokenizer> make_sentencepiece(std::filesystem::path const&, ModelConfig const&) { return nullptr; }

bool sentencepiece_built_in() { return false; }

}   // namespace pikv::runtime
