#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pikv::kernels {

/// The principal components of one page's vectors (methods 3.4, block PCA), as they are stored in it: the mean [head_dim] and a scale per component
/// [rank] in fp32, then the basis [rank][head_dim] in int8. A component's largest entry is 127 scales; past the number of tokens they are 0.
struct OwnBasis {
  std::vector<float> decode, mean;   // [head_dim][rank], [head_dim]
};

/// Of vectors [tokens][head_dim]; `at` gets basis_bytes(head_dim, rank).
void store_own_basis(float const* vectors, std::int32_t tokens, std::int32_t head_dim, std::int32_t rank, std::byte* at);
OwnBasis load_own_basis(std::byte const* at, std::int32_t head_dim, std::int32_t rank);

/// numbers [tokens][width], width >= rank: the coordinates nearest to each vector in the basis as it is stored; 0 from rank on.
void coordinates(OwnBasis const& basis, float const* vectors, std::int32_t tokens, std::int32_t head_dim, std::int32_t rank, std::int32_t width,
                 float* numbers);

}  // namespace pikv::kernels
