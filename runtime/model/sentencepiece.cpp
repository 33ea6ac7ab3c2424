#include "runtime/model/sentencepiece.hpp"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <nlohmann/json.hpp>

#include "comm/error.hpp"
#include "runtime/model/json.hpp"
#include "runtime/model/mapped_file.hpp"

namespace pikv::runtime {
namespace {

std::string_view text_of(MappedFile const& file) { return {reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size()}; }

bool flag(nlohmann::json const& config, char const* key, bool otherwise, std::string const& file) {
  auto const found = config.find(key);
  if (found == config.end() || found->is_null()) return otherwise;
  if (!found->is_boolean()) throw InputError(fmt::format("{}: {} is neither true nor false; correct it", file, key));
  return found->get<bool>();
}

bool adds_bos(std::filesystem::path const& path) {
  if (!std::filesystem::exists(path)) return true;
  MappedFile const file{path};
  auto const config = parse_json(text_of(file), path.string());
  if (!config.is_object()) throw InputError(path.string() + " is not a JSON object; copy it again");
  if (flag(config, "add_eos_token", false, path.string()))
    throw InputError(path.string() + ": add_eos_token = true is not supported, since it ends a prompt before the model goes on; set it to false");
  return flag(config, "add_bos_token", true, path.string());
}

/// Text of an ordinary piece: U+2581 stands for a space.
std::string with_spaces(std::string piece) {
  constexpr std::string_view mark = "\xE2\x96\x81";
  for (auto at = piece.find(mark); at != std::string::npos; at = piece.find(mark, at + 1)) piece.replace(at, mark.size(), " ");
  return piece;
}

class SentencePiece : public Tokenizer {
 public:
  SentencePiece(std::filesystem::path const& path, bool adds_bos) : adds_bos_{adds_bos} {
    MappedFile const file{path};
    auto const loaded = pieces_.LoadFromSerializedProto(text_of(file));
    if (!loaded.ok())
      throw InputError(path.string() + " is not a sentencepiece model or is damaged; copy it again, or remove it and give prompt_ids");
  }

  std::int32_t size() const { return pieces_.GetPieceSize(); }

  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    auto const encoded = pieces_.Encode(text, &ids);
    if (!encoded.ok()) throw InputError("sentencepiece could not encode a text: " + encoded.ToString());
    return ids;
  }

  std::string decode(std::vector<std::int32_t> const& ids) const override {
    std::string text;
    for (std::int32_t const id : ids) text += piece(id);
    return text;
  }

  std::int32_t bos() const override { return adds_bos_ ? pieces_.bos_id() : -1; }

 private:
  std::string piece(std::int32_t id) const {
    if (id < 0 || id >= size() || pieces_.IsControl(id) || pieces_.IsUnknown(id) || pieces_.IsUnused(id)) return "";
    auto const& name = pieces_.IdToPiece(id);
    return pieces_.IsByte(id) ? std::string(1, static_cast<char>(std::stoi(name.substr(3, 2), nullptr, 16))) : with_spaces(name);   // <0x0A>
  }

  sentencepiece::SentencePieceProcessor pieces_;
  bool adds_bos_;
};

}   // namespace

std::unique_ptr<Tokenizer> make_sentencepiece(std::filesystem::path const& dir, ModelConfig const& config) {
  auto const path = dir / "tokenizer.model";
  auto tokenizer = std::make_unique<SentencePiece>(path, adds_bos(dir / "tokenizer_config.json"));
  if (tokenizer->size() > config.vocab)
    throw InputError(fmt::format("{} has {} pieces, more than vocab_size = {} of config.json; the two do not belong together", path.string(),
                                 tokenizer->size(), config.vocab));
  return tokenizer;
}

bool sentencepiece_built_in() { return true; }

}   // namespace pikv::runtime
