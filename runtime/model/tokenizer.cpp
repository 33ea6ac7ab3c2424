#include "runtime/model/tokenizer.hpp"

#include <algorithm>

#include "runtime/model/sentencepiece.hpp"

namespace pikv::runtime {
namespace {

class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(ModelConfig const& config) : special_{config.eos} {
    if (config.bos >= 0) special_.push_back(config.bos);
  }

  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    ids.reserve(text.size());
    for (char const c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }

  std::string decode(std::vector<std::int32_t> const& ids) const override {
    std::string text;
    for (std::int32_t const id : ids)
      if (std::ranges::find(special_, id) == special_.end()) text.push_back(static_cast<char>(id));
    return text;
  }

  std::int32_t bos() const override { return -1; }

 private:
  std::vector<std::int32_t> special_;
};

}   // namespace

std::unique_ptr<Tokenizer> make_tokenizer(std::filesystem::path const& dir, ModelConfig const& config) {
  if (std::filesystem::exists(dir / "tokenizer.model")) return make_sentencepiece(dir, config);
  for (char const* file : {"tokenizer.json", "tokenizer_config.json", "vocab.json"})
    if (std::filesystem::exists(dir / file)) return nullptr;
  if (config.vocab != 256) return nullptr;
  return std::make_unique<ByteTokenizer>(config);
}

std::string why_no_tokenizer(std::filesystem::path const& dir) {
  if (std::filesystem::exists(dir / "tokenizer.model"))
    return "this build is without sentencepiece, which reads tokenizer.model: configure with -DPIKV_SENTENCEPIECE=ON";
  if (std::filesystem::exists(dir / "tokenizer.json")) return "jobs/tokenize.py turns text into prompt_ids by its tokenizer.json";
  return "there is no tokenizer.model in " + dir.string();
}

}   // namespace pikv::runtime
