#include "runtime/checkpoint/reader.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "comm/error.hpp"
#include "runtime/checkpoint/digest.hpp"
#include "runtime/hdf5/input.hpp"

namespace pikv::runtime {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(fs::path const& path, std::string const& why) {
  throw RunError(fmt::format("{} {}; give a checkpoint that `pikv checkpoint verify` accepts", path.string(), why));
}

std::uint64_t bytes_of(fs::path const& path) {
  std::error_code trouble;
  auto const bytes = fs::file_size(path, trouble);
  if (trouble) refuse(path, "is not a file that can be read (" + trouble.message() + ")");
  return bytes;
}

hdf5::File open_file(fs::path const& path) {
  hdf5::prepare();
  hid_t const file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (file >= 0) return {file, ""};
  std::string const reason = hdf5::failure("be opened as an HDF5 file");
  refuse(path, H5Fis_hdf5(path.c_str()) == 0 ? "is not an HDF5 file" : reason);
}

hdf5::Dataset open_dataset(hid_t file, std::string const& name) {
  if (H5Lexists(file, name.c_str(), H5P_DEFAULT) <= 0) throw RunError("it has no /" + name);
  return {H5Dopen2(file, name.c_str(), H5P_DEFAULT), "open /" + name};
}

Attributes group_attributes(hid_t file, std::string const& name) {
  if (H5Lexists(file, name.c_str(), H5P_DEFAULT) <= 0) throw RunError("it has no /" + name);
  hdf5::Group const group{H5Gopen2(file, name.c_str(), H5P_DEFAULT), "open /" + name};
  return hdf5::read_attributes(group.get());
}

std::array<hsize_t, 2> extent_of(hdf5::Dataset const& dataset, std::string const& name, int dimensions) {
  hdf5::Space const space{H5Dget_space(dataset.get()), "get the space of /" + name};
  std::array<hsize_t, 2> extent{0, 1};
  if (H5Sget_simple_extent_ndims(space.get()) != dimensions) throw RunError("/" + name + " has another shape");
  H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr);
  return extent;
}

template <typename T>
void read_list(hid_t file, std::string const& name, hid_t type, std::uint64_t file_bytes, T& into) {
  auto const dataset = open_dataset(file, name);
  auto const count = extent_of(dataset, name, 1)[0];
  if (count > file_bytes / sizeof(typename T::value_type)) throw RunError("/" + name + " claims more than the file could hold");
  into.resize(count);
  if (count > 0 && H5Dread(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, into.data()) < 0) throw RunError(hdf5::failure("read /" + name));
}

shards::Fingerprint fingerprint_in(std::string const& text) {
  shards::Fingerprint fingerprint;
  auto const half = [&](std::size_t at, std::uint64_t& into) {
    return text.size() == 32 && std::from_chars(text.data() + at, text.data() + at + 16, into, 16).ptr == text.data() + at + 16;
  };
  if (!half(0, fingerprint.hi) || !half(16, fingerprint.lo)) throw RunError("its fingerprint is not 32 hexadecimal digits");
  return fingerprint;
}

CheckpointFacts facts_in(hid_t file) {
  Attributes const root = hdf5::read_attributes(file);
  auto const format = number_in(root, "format", 0);
  if (format == 0 || text_in(root, "kind") != "checkpoint") throw RunError("it does not say that it is one");
  if (format != checkpoint_format) throw RunError(fmt::format("its format is {}, and this pikv reads {}", format, checkpoint_format));
  CheckpointFacts facts;
  facts.version = text_in(root, "version");
  facts.commit = text_in(root, "commit");
  facts.saved = text_in(root, "saved");
  facts.reason = text_in(root, "reason");
  facts.step = number_in(root, "step", 0);
  facts.ranks = number_in(root, "ranks", 0);
  facts.hosts = number_in(root, "hosts", 0);
  facts.clock_s = real_in(root, "clock_s", 0);
  facts.fingerprint = fingerprint_in(text_in(root, "fingerprint"));
  facts.placement = text_in(root, "placement");
  facts.payload_bytes = static_cast<std::uint64_t>(number_in(root, "payload_bytes", 0));
  facts.options = group_attributes(file, "options");
  facts.model = group_attributes(file, "model");
  return facts;
}

hdf5::Dataset open_headers(hid_t file, std::size_t pages) {
  auto dataset = open_dataset(file, "page_headers");
  if (extent_of(dataset, "page_headers", 2) != std::array<hsize_t, 2>{pages, shards::header_bytes}) throw RunError("/page_headers does not hold a header per row of /pages");
  return dataset;
}

// Payloads lie one behind the other, in the order of /pages.
hdf5::Dataset open_payloads(hid_t file, std::vector<PageRow> const& pages, std::uint64_t most) {
  auto dataset = open_dataset(file, "page_payloads");
  std::uint64_t bytes = 0;
  for (PageRow const& page : pages) {
    if (page.at != bytes || page.bytes > most) throw RunError("/pages points to other than its part of /page_payloads");
    bytes += page.bytes;
  }
  if (extent_of(dataset, "page_payloads", 1)[0] != bytes) throw RunError("/page_payloads does not hold what /pages points to");
  return dataset;
}

void read_at(hdf5::Dataset const& dataset, std::size_t row, std::array<hsize_t, 2> const& start, std::array<hsize_t, 2> const& count, int dimensions, std::span<std::byte> into) {
  hdf5::Space const here{H5Screate_simple(dimensions, count.data(), nullptr), "make a memory space"};
  hdf5::Space const there{H5Dget_space(dataset.get()), "get the space of a page"};
  H5Sselect_hyperslab(there.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
  if (H5Dread(dataset.get(), H5T_NATIVE_UINT8, here.get(), there.get(), H5P_DEFAULT, into.data()) < 0)
    throw RunError(hdf5::failure(fmt::format("read page {}", row)));
}

}  // namespace

CheckpointReader::CheckpointReader(fs::path path) : path_{std::move(path)}, file_bytes_{bytes_of(path_)}, file_{open_file(path_)} {
  try {
    read_all();
  } catch (RunError const& error) {
    file_.abandon();
    refuse(path_, std::string{"is no checkpoint that can be read: "} + error.what());
  }
}

void CheckpointReader::read_all() {
  facts_ = facts_in(file_.get());
  PackedRequests packed;
  packed.rows = hdf5::TableInput{file_.get(), "requests", file_bytes_}.rows<RequestRow>(saved_request_rows());
  read_list(file_.get(), "tokens", H5T_NATIVE_INT32, file_bytes_, packed.tokens);
  read_list(file_.get(), "text", H5T_NATIVE_UINT8, file_bytes_, packed.text);
  if (H5Lexists(file_.get(), "policies", H5P_DEFAULT) > 0) {
    packed.policies = hdf5::TableInput{file_.get(), "policies", file_bytes_}.rows<PolicyRow>(policy_rows());
    read_list(file_.get(), "policy_state", H5T_NATIVE_UINT8, file_bytes_, packed.policy_state);
    packed.evicted = hdf5::TableInput{file_.get(), "evicted", file_bytes_}.rows<EvictedPage>(evicted_rows());
  }
  pages_ = hdf5::TableInput{file_.get(), "pages", file_bytes_}.rows<PageRow>(page_rows());
  if (text_in(hdf5::read_attributes(file_.get()), "tables_xxh3") != tables_digest(facts_, packed, pages_))
    throw RunError("its tables are not what was written (tables_xxh3 differs)");
  requests_ = unpack(packed);
  headers_.emplace(open_headers(file_.get(), pages_.size()));
  payloads_.emplace(open_payloads(file_.get(), pages_, facts_.payload_bytes));
}

void CheckpointReader::read_header(std::size_t row, shards::PageHeader& header) const {
  try {
    read_at(*headers_, row, {row, 0}, {1, shards::header_bytes}, 2, std::as_writable_bytes(std::span{&header, 1}));
  } catch (RunError const& error) {
    refuse(path_, std::string{"is damaged: "} + error.what());
  }
}

void CheckpointReader::read_payload(std::size_t row, std::span<std::byte> payload) const {
  try {
    read_at(*payloads_, row, {pages_[row].at, 0}, {std::min<hsize_t>(pages_[row].bytes, payload.size()), 0}, 1, payload);
  } catch (RunError const& error) {
    refuse(path_, std::string{"is damaged: "} + error.what());
  }
}

void CheckpointReader::read_page(std::size_t row, shards::PageHeader& header, std::span<std::byte> payload) const {
  read_header(row, header);
  read_payload(row, payload);
}

shards::Verdict CheckpointReader::verdict(std::size_t row, std::span<std::byte> payload) const {
  shards::PageHeader header;
  return read_verified(row, header, payload);
}

namespace {

// How many KV heads lie in a page is the fingerprint's to judge.
shards::PageKey key_of(PageRow const& page, std::int32_t heads, std::int64_t of_layer) {
  auto const tables = static_cast<std::int32_t>(std::max<std::int64_t>(1, of_layer / std::max(heads, 1)));
  std::int32_t const head = page.layer % tables * heads;
  return {{page.stream_hi, page.stream_lo}, static_cast<std::uint16_t>(page.layer / tables), static_cast<std::uint16_t>(head),
          static_cast<std::uint16_t>(head + heads), 0, page.block};
}

}  // namespace

shards::Verdict CheckpointReader::read_verified(std::size_t row, shards::PageHeader& header, std::span<std::byte> payload) const {
  PageRow const& page = pages_[row];
  read_page(row, header, payload);
  shards::PageKey const key = key_of(page, header.key.head_end - header.key.head_begin, number_in(facts_.model, "kv_heads", 1));
  if (shards::PageHeader const left_out{}; header.state != shards::PageState::ready)
    return std::memcmp(&header, &left_out, sizeof header) == 0 ? shards::Verdict::not_ready : shards::Verdict::bad_header;
  auto const found = shards::verify(header, payload.first(page.bytes), key, header.generation, facts_.fingerprint);
  bool const as_listed = static_cast<std::int32_t>(header.tokens) == page.tokens;
  return found == shards::Verdict::good && !as_listed ? shards::Verdict::bad_header : found;
}

}  // namespace pikv::runtime
