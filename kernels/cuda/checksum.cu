#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stream.hpp"
#include "kernels/cuda/warp.cuh"
#include "kernels/pages.hpp"

namespace pikv::kernels::cuda {
namespace {

// xxh3-64 of more than 240 bytes (Collet, xxHash's specification): eight lanes take 64-byte stripes, 16 of them a chunk, after which the lanes are
// scrambled. What a chunk adds to the lanes does not depend on what they hold: chunks are summed side by side, and only the scrambling is one after
// the other.
using Word = unsigned long long;

constexpr int lanes = 8, stripes = 16, chunks_at_once = 32, threads = lanes * chunks_at_once;
constexpr std::size_t stripe_bytes = lanes * sizeof(Word), chunk_bytes = stripes * stripe_bytes;
constexpr Word prime32_1 = 0x9E3779B1u, prime32_2 = 0x85EBCA77u, prime32_3 = 0xC2B2AE3Du;
constexpr Word prime64_1 = 0x9E3779B185EBCA87u, prime64_2 = 0xC2B2AE3D27D4EB4Fu, prime64_3 = 0x165667B19E3779F9u, prime64_4 = 0x85EBCA77C2B2AE63u,
               prime64_5 = 0x27D4EB2F165667C5u, prime_of_avalanche = 0x165667919E3779F9u;

struct Constants {
  Word secret[stripes + lanes];   // xxHash's default, as little-endian words
  Word start[lanes];
};
constexpr Constants constants{
    {0xBE4BA423396CFEB8u, 0x1CAD21F72C81017Cu, 0xDB979083E96DD4DEu, 0x1F67B3B7A4A44072u, 0x78E5C0CC4EE679CBu, 0x2172FFCC7DD05A82u,
     0x8E2443F7744608B8u, 0x4C263A81E69035E0u, 0xCB00C391BB52283Cu, 0xA32E531B8B65D088u, 0x4EF90DA297486471u, 0xD8ACDEA946EF1938u,
     0x3F349CE33F76FAA8u, 0x1D4F0BC7C7BBDCF9u, 0x3159B4CD4BE0518Au, 0x647378D9C97E9FC8u, 0xC3EBD33483ACC5EAu, 0xEB6313FAFFA081C5u,
     0x49DAF0B751DD0D17u, 0x9E68D429265516D3u, 0xFCA1477D58BE162Bu, 0xCE31D07AD1B8F88Fu, 0x280416958F3ACB45u, 0x7E404BBBCAFBD7AFu},
    {prime32_3, prime64_1, prime64_2, prime64_3, prime64_4, prime32_2, prime64_5, prime32_1}};

/// The word at byte `at` of the secret.
__device__ Word secret_at(Constants const& of, int at) {
  int const word = at / 8, shift = at % 8 * 8;
  return shift == 0 ? of.secret[word] : of.secret[word] >> shift | of.secret[word + 1] << (64 - shift);
}

/// A word of data at a multiple of 4 bytes; `whole`: of 8.
__device__ Word word_at(std::byte const* at, bool whole) {
  if (whole) return *reinterpret_cast<Word const*>(at);
  auto const* const half = reinterpret_cast<unsigned const*>(at);
  return half[0] | Word{half[1]} << 32;
}

/// What a stripe adds: the product to its own lane, the word itself to the neighbour.
struct Added {
  Word product = 0, word = 0;
  __device__ void add(Word of_data, Word of_secret) {
    Word const key = of_data ^ of_secret;
    product += (key & 0xFFFFFFFFu) * (key >> 32);
    word += of_data;
  }
};

__device__ Word folded(Word a, Word b) { return a * b ^ __umul64hi(a, b); }

/// One block per slice of a page. Bytes: the slice once. Operations: two multiplications per 8 bytes, about 20 instructions per chunk and lane that
/// are one after the other. Limit: memory bandwidth for many slices; for few, that chain: a slice of 8 KiB has 8 links.
__global__ void __launch_bounds__(threads)
    hash_slices(SlotsView pages, int const* slots, std::size_t slice_bytes, int slices, std::uint64_t* out, Constants of) {
  __shared__ Word of_chunk[chunks_at_once][lanes];
  __shared__ Word total[lanes];
  int const lane = static_cast<int>(threadIdx.x) % lanes, my_chunk = static_cast<int>(threadIdx.x) / lanes;
  std::size_t const page = blockIdx.x / slices, slice = blockIdx.x % slices, whole_chunks = (slice_bytes - 1) / chunk_bytes;
  bool const whole = slice_bytes % sizeof(Word) == 0;
  std::byte const* const bytes = pages.base + static_cast<std::size_t>(slots[page]) * pages.slot_bytes + slice * slice_bytes + lane * sizeof(Word);
  auto const data = [&](std::size_t byte) { return word_at(bytes + byte, whole); };
  Word mine = of.start[lane];   // used by the first eight threads
  for (std::size_t first = 0; first <= whole_chunks; first += chunks_at_once) {
    std::size_t const chunk = first + my_chunk;
    Added added;
    if (chunk <= whole_chunks) {
      std::size_t const left = slice_bytes - 1 - chunk * chunk_bytes;
      int const here = chunk < whole_chunks ? stripes : static_cast<int>(left / stripe_bytes);
      for (int stripe = 0; stripe < here; ++stripe) added.add(data(chunk * chunk_bytes + stripe * stripe_bytes), of.secret[stripe + lane]);
      if (chunk == whole_chunks) added.add(data(slice_bytes - stripe_bytes), secret_at(of, (stripes + lane) * 8 - 7));   // the last stripe again
    }
    of_chunk[my_chunk][lane] = added.product + __shfl_xor_sync(all_lanes, added.word, 1);
    __syncthreads();   // the chunks are summed
    if (my_chunk == 0) {
      for (std::size_t next = 0; next < chunks_at_once && first + next <= whole_chunks; ++next) {
        mine += of_chunk[next][lane];
        if (first + next < whole_chunks) mine = (mine ^ mine >> 47 ^ of.secret[stripes + lane]) * prime32_1;
      }
    }
    __syncthreads();   // of_chunk may change
  }
  if (my_chunk == 0) total[lane] = mine;
  __syncthreads();
  if (threadIdx.x != 0) return;
  Word hash = slice_bytes * prime64_1;
  for (int pair = 0; pair < lanes; pair += 2)
    hash += folded(total[pair] ^ secret_at(of, 11 + 8 * pair), total[pair + 1] ^ secret_at(of, 19 + 8 * pair));
  hash = (hash ^ hash >> 37) * prime_of_avalanche;
  out[blockIdx.x] = hash ^ hash >> 32;
}

}  // namespace

void checksum(SlotsView const& pages, std::int32_t const* slots, std::int32_t count, std::size_t slice_bytes, std::int32_t slices, std::uint64_t* out,
              Stream& stream) {
  CUstream_st* const queue = handle_of(stream);
  if (slice_bytes < least_checksum_bytes || slice_bytes % 4 != 0)
    throw std::runtime_error("cuda::checksum: a slice of " + std::to_string(slice_bytes) +
                             " bytes is no multiple of 4 above 240; take its checksum on the host");
  if (count * slices == 0) return;
  launch(hash_slices, static_cast<unsigned>(count) * static_cast<unsigned>(slices), threads, 0, queue, "cuda::checksum", pages, slots, slice_bytes,
         slices, out, constants);
}

}  // namespace pikv::kernels::cuda
