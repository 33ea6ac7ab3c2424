#include "runtime/checkpoint/tables_file.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "comm/error.hpp"
#include "runtime/checkpoint/digest.hpp"
#include "runtime/hdf5/attribute.hpp"
#include "runtime/hdf5/table.hpp"
#include "shards/header.hpp"

namespace pikv::runtime {

namespace {

hdf5::Dataset make_list(hid_t file, char const* name, hid_t type, std::span<hsize_t const> extent) {
  hdf5::Space const space{H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), "make a space"};
  hdf5::Properties const layout{H5Pcreate(H5P_DATASET_CREATE), "make a layout"};
  H5Pset_fill_time(layout.get(), H5D_FILL_TIME_NEVER);
  return {H5Dcreate2(file, name, type, space.get(), H5P_DEFAULT, layout.get(), H5P_DEFAULT), std::string{"make /"} + name};
}

void write_whole(hdf5::Dataset const& dataset, hid_t type, void const* data, std::size_t count) {
  if (count > 0 && H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) throw RunError(hdf5::failure("write a checkpoint"));
}

void write_table(hid_t file, char const* name, hdf5::RowType const& type, auto const& rows) {
  hdf5::Table table{file, name, type, std::clamp<std::size_t>(rows.size(), 1, 4096)};
  hdf5::RowBuffer packed{type, rows.size()};
  for (auto const& row : rows) packed.add(&row);
  table.grow(rows.size());
  table.write(packed.bytes(), 0, H5P_DEFAULT);
}

}   // namespace

void write_tables(std::filesystem::path const& part, CheckpointFacts const& facts, PackedRequests const& requests,
                  std::vector<PageRow> const& pages) {
  hdf5::File file{H5Fcreate(part.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "make " + part.string()};
  for (auto const& attribute : root_attributes(facts)) hdf5::write(file.get(), attribute);
  hdf5::write(file.get(), {"tables_xxh3", tables_digest(facts, requests, pages)});
  hdf5::write_group(file.get(), "options", facts.options);
  hdf5::write_group(file.get(), "model", facts.model);
  write_table(file.get(), "requests", saved_request_rows(), requests.rows);
  write_table(file.get(), "pages", page_rows(), pages);
  hsize_t const tokens = requests.tokens.size(), text = requests.text.size();
  write_whole(make_list(file.get(), "tokens", H5T_STD_I32LE, {&tokens, 1}), H5T_NATIVE_INT32, requests.tokens.data(), tokens);
  write_whole(make_list(file.get(), "text", H5T_STD_U8LE, {&text, 1}), H5T_NATIVE_UINT8, requests.text.data(), text);
  if (!requests.policies.empty()) {
    hsize_t const state = requests.policy_state.size();
    write_table(file.get(), "policies", policy_rows(), requests.policies);
    write_whole(make_list(file.get(), "policy_state", H5T_STD_U8LE, {&state, 1}), H5T_NATIVE_UINT8, requests.policy_state.data(), state);
    write_table(file.get(), "evicted", evicted_rows(), requests.evicted);
  }
  std::array<hsize_t, 2> const headers{pages.size(), shards::header_bytes};
  hsize_t const payloads = pages.empty() ? 0 : pages.back().at + pages.back().bytes;
  (void)make_list(file.get(), "page_headers", H5T_STD_U8LE, headers);
  (void)make_list(file.get(), "page_payloads", H5T_STD_U8LE, {&payloads, 1});
  if (file.close() < 0) throw RunError(hdf5::failure("write " + part.string()));
}

}   // namespace pikv::runtime
