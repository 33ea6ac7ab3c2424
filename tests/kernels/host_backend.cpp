#include "backend.hpp"

namespace pikv::kernels {
namespace {

void merge_on_host(Partial& into, Partial& part, std::int32_t rows, std::int32_t heads, std::int32_t d) {
  Stream stream;
  host::merge(into.view(), part.view(), rows, heads, d, stream);
}

void encode_on_host(CodedProblem& problem) {
  for (std::int32_t slot : problem.plain.slots) host::encode_page(problem.plain.pool(), slot, problem.layout, problem.pool().page(slot));
}

void decode_on_host(CodedProblem& problem) {
  for (std::int32_t slot : problem.plain.slots) host::decode_page(problem.layout, problem.pool().page(slot), problem.rebuilt.pool(), slot);
}

}  // namespace

Backend const host_backend{"host", [] { return std::string{}; }, attend_on_host, merge_on_host, encode_on_host, decode_on_host, attend_coded_on_host, &host_operations};

}  // namespace pikv::kernels
