#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "runtime/checkpoint/format.hpp"
#include "runtime/hdf5/handle.hpp"
#include "shards/header.hpp"

namespace pikv::runtime {

/// A checkpoint that is read, by one rank on its own (serial HDF5). Everything but the pages is read at once. Throws RunError, one sentence
/// that names the file, whatever is wrong with it. HDF5 1.10 crashes on some damaged files: look at it in a process apart first.
class CheckpointReader {
 public:
  explicit CheckpointReader(std::filesystem::path path);

  std::filesystem::path const& path() const { return path_; }
  std::uint64_t file_bytes() const { return file_bytes_; }
  CheckpointFacts const& facts() const { return facts_; }
  std::vector<SavedRequest> const& requests() const { return requests_; }
  std::vector<PageRow> const& pages() const { return pages_; }

  /// Header and payload of row `row`, as they were stored: nothing is checked here. `payload` is facts().payload_bytes long, which is
  /// enough for every page: what a coded one leaves of it stays as it was. Throws RunError.
  void read_header(std::size_t row, shards::PageHeader& header) const;
  void read_payload(std::size_t row, std::span<std::byte> payload) const;
  void read_page(std::size_t row, shards::PageHeader& header, std::span<std::byte> payload) const;
  /// The same, and what verify() says of it (shards/header.hpp), the row's key and number of tokens included; not_ready only for a page that
  /// the writer left out, being unsound then.
  shards::Verdict read_verified(std::size_t row, shards::PageHeader& header, std::span<std::byte> payload) const;
  /// The verdict alone. `payload` is room for the page.
  shards::Verdict verdict(std::size_t row, std::span<std::byte> payload) const;

 private:
  void read_all();

  std::filesystem::path path_;
  std::uint64_t file_bytes_ = 0;
  hdf5::File file_;
  CheckpointFacts facts_;
  std::vector<SavedRequest> requests_;
  std::vector<PageRow> pages_;
  std::optional<hdf5::Dataset> headers_, payloads_;
};

}  // namespace pikv::runtime
