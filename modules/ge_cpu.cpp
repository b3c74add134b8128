// Gather-Excite on a CPU, forward and backward: y = x * up(sigmoid(p)), where p are the means of x
// over clipped windows, or given. Compiled by ge_cpu.py; nothing here knows of PyTorch.
//
// A tile is one plane, or LANES planes side by side (the channels of channels_last; small maps). It
// stays in the nearest cache, so that memory is read once and written once. Within a tile, a row is
// `width * L` floats, whatever the type and the layout outside.

#include <cstdint>
#include <cstring>
#include <vector>
#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace {

constexpr long LANES = 16;
constexpr long CHUNK = 256 * LANES;
constexpr long CACHED_BYTES = 8 << 20;  // an output beyond this is gone from the caches when it is read

// --- elements --------------------------------------------------------------------------------

struct Bf16 {
    uint16_t bits;
};

template <class To, class From>
inline To bits_of(From value) {
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}

inline float load(float x) { return x; }
inline float load(Bf16 x) { return bits_of<float>(uint32_t(x.bits) << 16); }
inline void store(float &to, float value) { to = value; }
inline void store(Bf16 &to, float value) {  // to nearest, ties to even
    uint32_t bits = bits_of<uint32_t>(value);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    to.bits = uint16_t(value == value ? rounded : 0x7fc0);
}

// 1 / (1 + exp(-p)) to a few units in the last place; exp by Cephes' polynomial, free of branches.
inline float sigmoid(float p) {
    float z = -p;
    z = z > 87.0f ? 87.0f : z;
    z = z < -87.0f ? -87.0f : z;
    float shifted = z * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2^23: to whole numbers
    float n = shifted - 12582912.0f;
    float r = z - n * 0.693359375f + n * 2.12194440e-4f;
    float q = 1.9875691500e-4f;
    q = q * r + 1.3981999507e-3f;
    q = q * r + 8.3334519073e-3f;
    q = q * r + 4.1665795894e-2f;
    q = q * r + 1.6666665459e-1f;
    q = q * r + 5.0000001201e-1f;
    q = q * r * r + r + 1.0f;
    uint32_t power = bits_of<uint32_t>(shifted) + 127;
    float value = 1.0f / (1.0f + q * bits_of<float>(power << 23));
    return p == p ? value : p;
}

// --- geometry --------------------------------------------------------------------------------

struct Geometry {
    long height, width, h, w, extent;
    const int32_t *row_of, *column_of;  // which gate an element takes, as F.interpolate has it
};

// Where the elements of a tile lie: pixel and lane strides, and how many lanes are there.
struct Layout {
    long pixel, lane, lanes;
};

template <long L, class T>
void read_tile(float *tile, const T *from, long pixels, Layout at) {
    if (at.lanes < L) std::memset(tile, 0, sizeof(float) * pixels * L);
    if (at.lane == 1 && at.lanes == L) {
        for (long i = 0; i < pixels; i++)
            for (long l = 0; l < L; l++) tile[i * L + l] = load(from[i * at.pixel + l]);
    } else {
        for (long l = 0; l < at.lanes; l++)
            for (long i = 0; i < pixels; i++) tile[i * L + l] = load(from[i * at.pixel + l * at.lane]);
    }
}

template <long L, class T>
void write_tile(T *to, const float *tile, long pixels, Layout at) {
    if (at.lane == 1 && at.lanes == L) {
        for (long i = 0; i < pixels; i++)
            for (long l = 0; l < L; l++) store(to[i * at.pixel + l], tile[i * L + l]);
    } else {
        for (long l = 0; l < at.lanes; l++)
            for (long i = 0; i < pixels; i++) store(to[i * at.pixel + l * at.lane], tile[i * L + l]);
    }
}

// A plane that will not stay in a cache goes to memory past it, or each line would be read first.
void write_past_caches(float *to, const float *from, long n) {
    long i = 0;
#if defined(__AVX__)
    for (; i < n && reinterpret_cast<uintptr_t>(to + i) % 32; i++) to[i] = from[i];
    for (; i + 8 <= n; i += 8) _mm256_stream_ps(to + i, _mm256_loadu_ps(from + i));
#endif
    for (; i < n; i++) to[i] = from[i];
}

inline long window(long index, long extent, long size) {
    long from = index * extent - extent + 1, to = index * extent + extent;
    return (to < size ? to : size) - (from > 0 ? from : 0);
}

// --- one tile --------------------------------------------------------------------------------

// The clipped sums of rows around block `a`, side by side in `column`; `tail` is handed on from block
// to block, since a window takes all but the first row of the block before.
template <long E, long L>
inline void sum_rows(const float *x, const Geometry &g, long a, float *tail, float *column) {
    const long e = E ? E : g.extent, n = g.width * L;
    const float *first = x + a * e * n;
    const long rows = a * e + e <= g.height ? e : g.height - a * e;
    if (E && rows == E) {
        for (long j = 0; j < n; j++) {
            float rest = 0;
            for (long k = 1; k < E; k++) rest += first[k * n + j];
            column[j] = tail[j] + first[j] + rest;
            tail[j] = rest;
        }
        return;
    }
    for (long j = 0; j < n; j++) column[j] = tail[j] + first[j], tail[j] = 0;
    for (long k = 1; k < rows; k++)
        for (long j = 0; j < n; j++) tail[j] += first[k * n + j];
    for (long j = 0; j < n; j++) column[j] += tail[j];
}

// Scratch of one thread, for tiles of one geometry.
struct Scratch {
    std::vector<float> tail, column, up, gate, slope, spread, combined;
    std::vector<float> per_window;
    explicit Scratch(const Geometry &g, long lanes)
        : tail(g.width * lanes), column((g.width + 3 * g.extent) * lanes), up(g.width * lanes),
          gate(g.h * g.w * lanes), slope((g.h + 1) * (g.w + 1) * lanes), spread(2 * g.width * lanes),
          combined((g.w + 1) * lanes), per_window(g.w) {
        for (long b = 0; b < g.w; b++) per_window[b] = 1.0f / window(b, g.extent, g.width);
    }
};

// All gates of a tile, in s.gate: from the means, or from the logits that are there.
template <long E, long L>
inline void gates(const float *x, const Geometry &g, Scratch &s, bool is_given) {
    const long e = E ? E : g.extent;
    float *column = s.column.data() + e * L;  // with zeros before and behind
    const float *from = column - (e - 1) * L;
    std::memset(s.tail.data(), 0, sizeof(float) * g.width * L);
    for (long a = 0; a < g.h && !is_given; a++) {
        sum_rows<E, L>(x, g, a, s.tail.data(), column);
        float *gate = s.gate.data() + a * g.w * L;
        const float per_row = 1.0f / window(a, e, g.height);
        for (long b = 0; b < g.w; b++)
            for (long l = 0; l < L; l++) {
                float sum = 0;
                for (long k = 0; k < 2 * e - 1; k++) sum += from[(b * e + k) * L + l];
                gate[b * L + l] = sum * (per_row * s.per_window[b]);
            }
    }
    float *gate = s.gate.data();
    for (long b = 0; b < g.h * g.w * L; b++) gate[b] = sigmoid(gate[b]);
}

template <long L>
inline void expand(float *up, const float *gate, const Geometry &g) {
    for (long j = 0; j < g.width; j++)
        for (long l = 0; l < L; l++) up[j * L + l] = gate[g.column_of[j] * L + l];
}

// y may be x.
template <long E, long L>
void forward_tile(const float *x, float *y, const Geometry &g, Scratch &s, bool is_given) {
    const long n = g.width * L;
    gates<E, L>(x, g, s, is_given);
    for (long a = 0, i = 0; a < g.h; a++) {
        float *up = s.up.data();
        expand<L>(up, s.gate.data() + a * g.w * L, g);
        for (; i < g.height && g.row_of[i] == a; i++)
#pragma GCC ivdep
            for (long j = 0; j < n; j++) y[i * n + j] = x[i * n + j] * up[j];
    }
}

// dx may be dy. Leaves in s.slope, (h + 1) x (w + 1) with zeros behind, the gradient of p.
template <long E, long L>
void backward_tile(const float *x, const float *dy, float *dx, const Geometry &g, Scratch &s,
                   bool is_given) {
    const long e = E ? E : g.extent, n = g.width * L, wide = (g.w + 1) * L;
    gates<E, L>(x, g, s, is_given);
    std::memset(s.slope.data(), 0, sizeof(float) * s.slope.size());
    for (long a = 0, i = 0; a < g.h; a++) {
        const float *gate = s.gate.data() + a * g.w * L;
        float *slope = s.slope.data() + a * wide;
        float *products = s.up.data();
        std::memset(products, 0, sizeof(float) * n);
        for (; i < g.height && g.row_of[i] == a; i++)
            for (long j = 0; j < n; j++) products[j] += dy[i * n + j] * x[i * n + j];
        for (long j = 0; j < g.width; j++)
            for (long l = 0; l < L; l++) slope[g.column_of[j] * L + l] += products[j * L + l];
        const float per_row = is_given ? 1.0f : 1.0f / window(a, e, g.height);
        for (long b = 0; b < g.w; b++)
            for (long l = 0; l < L; l++) {
                const float value = gate[b * L + l];
                slope[b * L + l] *= value * (1 - value) * (is_given ? 1.0f : per_row * s.per_window[b]);
            }
    }
    for (long a = 0, i = 0; a < g.h; a++) {
        float *up = s.up.data();
        expand<L>(up, s.gate.data() + a * g.w * L, g);
        for (; i < g.height && g.row_of[i] == a; i++) {
            const float *in = dy + i * n;
            float *out = dx + i * n;
            if (is_given) {
#pragma GCC ivdep
                for (long j = 0; j < n; j++) out[j] = in[j] * up[j];
                continue;
            }
            // Row i lies in the windows of block i / e and, but for its first row, of the next.
            const bool in_two = i % e != 0;
            float *spread = s.spread.data() + (in_two ? n : 0);
            if (i % e <= 1) {
                const float *here = s.slope.data() + (i / e) * wide;
                for (long b = 0; b < wide; b++)
                    s.combined[b] = here[b] + (in_two ? here[wide + b] : 0.0f);
                for (long j = 0; j < g.width; j++)
                    for (long l = 0; l < L; l++)
                        spread[j * L + l] = s.combined[(j / e) * L + l] +
                                            (j % e ? s.combined[(j / e + 1) * L + l] : 0.0f);
            }
#pragma GCC ivdep
            for (long j = 0; j < n; j++) out[j] = in[j] * up[j] + spread[j];
        }
    }
}

// The global extent: one gate a plane. Forward where dy is null; out may be x, or dy.
template <long L>
void global_tile(const float *x, const float *dy, float *out, long pixels, Scratch &s, bool is_given) {
    const long n = pixels * L;
    float sum[LANES] = {}, product[LANES] = {};  // side by side; the lanes, or parts of one sum
    const long whole = n / LANES * LANES;
    for (long from = 0; from < whole; from += CHUNK) {  // partial sums: a long one loses digits
        const long to = from + CHUNK < whole ? from + CHUNK : whole;
        float part[LANES] = {}, part_of_products[LANES] = {};
        for (long i = from; i < to && !is_given; i += LANES)
            for (long k = 0; k < LANES; k++) part[k] += x[i + k];
        for (long i = from; i < to && dy; i += LANES)
            for (long k = 0; k < LANES; k++) part_of_products[k] += dy[i + k] * x[i + k];
        for (long k = 0; k < LANES; k++) sum[k] += part[k], product[k] += part_of_products[k];
    }
    for (long i = whole; i < n; i++) {
        sum[0] += x[i];
        if (dy) product[0] += dy[i] * x[i];
    }
    for (long k = L; k < LANES; k++) sum[0] += sum[k], product[0] += product[k];
    float gate[L], slope[L];
    for (long l = 0; l < L; l++) {
        gate[l] = sigmoid(is_given ? s.gate[l] : sum[l] / pixels);
        s.slope[l] = product[l] * gate[l] * (1 - gate[l]);
        slope[l] = is_given ? 0.0f : s.slope[l] / pixels;
    }
    const float *in = dy ? dy : x;
#pragma GCC ivdep
    for (long i = 0; i < pixels; i++)
        for (long l = 0; l < L; l++) out[i * L + l] = in[i * L + l] * gate[l] + (dy ? slope[l] : 0.0f);
}

// --- all tiles -------------------------------------------------------------------------------

struct Tensors {
    const void *x, *dy, *given;
    void *out, *slope;
    bool is_large;
};

template <class T, long E, long L>
void tile(const Tensors &t, long offset, long small, Layout at, Layout at_small, const Geometry &g,
          Scratch &s, std::vector<float> &own_x, std::vector<float> &own_y) {
    const long pixels = g.height * g.width;
    const T *x = static_cast<const T *>(t.x) + offset;
    T *out = static_cast<T *>(t.out) + offset;
    if (t.given) read_tile<L>(s.gate.data(), static_cast<const T *>(t.given) + small, g.h * g.w, at_small);
    const bool direct = sizeof(T) == 4 && L == 1, is_global = g.h == 1 && g.w == 1 && E == 0;
    const float *tile_x = reinterpret_cast<const float *>(x);
    if (!direct) {
        read_tile<L>(own_x.data(), x, pixels, at);
        tile_x = own_x.data();
    }
    if (!t.dy) {
        float *y = direct && !t.is_large ? reinterpret_cast<float *>(out) : own_x.data();
        if (is_global)
            global_tile<L>(tile_x, nullptr, y, pixels, s, t.given);
        else
            forward_tile<E, L>(tile_x, y, g, s, t.given);
        if (!direct)
            write_tile<L>(out, y, pixels, at);
        else if (t.is_large)
            write_past_caches(reinterpret_cast<float *>(out), y, pixels);
        return;
    }
    const T *dy = static_cast<const T *>(t.dy) + offset;
    const float *tile_dy = reinterpret_cast<const float *>(dy);
    if (!direct) {
        read_tile<L>(own_y.data(), dy, pixels, at);
        tile_dy = own_y.data();
    }
    float *dx = direct && !t.is_large ? reinterpret_cast<float *>(out) : own_y.data();
    if (is_global)
        global_tile<L>(tile_x, tile_dy, dx, pixels, s, t.given);
    else
        backward_tile<E, L>(tile_x, tile_dy, dx, g, s, t.given);
    if (!direct)
        write_tile<L>(out, dx, pixels, at);
    else if (t.is_large)
        write_past_caches(reinterpret_cast<float *>(out), dx, pixels);
    if (t.slope)
        for (long a = 0; a < g.h; a++)
            write_tile<L>(static_cast<T *>(t.slope) + small + a * g.w * at_small.pixel,
                          s.slope.data() + a * (g.w + 1) * L, g.w, at_small);
}

template <class T, long E, long L>
void all(const Tensors &t, long batch, long channels, bool channels_last, const Geometry &g, int threads) {
    const long pixels = g.height * g.width, small = g.h * g.w;
    const long groups = channels_last ? batch : 1, planes = channels_last ? channels : batch * channels;
    const long tiles = (planes + L - 1) / L;
    if (groups * tiles < threads) threads = int(groups * tiles);
#pragma omp parallel num_threads(threads)
    {
        Scratch scratch(g, L);
        std::vector<float> own_x(sizeof(T) == 4 && L == 1 && !t.is_large ? 0 : pixels * L);
        std::vector<float> own_y(t.dy ? own_x.size() : 0);
#pragma omp for schedule(static)
        for (long index = 0; index < groups * tiles; index++) {
            const long group = index / tiles, plane = index % tiles * L;
            const long lanes = planes - plane < L ? planes - plane : L;
            if (channels_last)
                tile<T, E, L>(t, group * channels * pixels + plane, group * channels * small + plane,
                              {channels, 1, lanes}, {channels, 1, lanes}, g, scratch, own_x, own_y);
            else
                tile<T, E, L>(t, plane * pixels, plane * small, {1, pixels, lanes}, {1, small, lanes},
                              g, scratch, own_x, own_y);
        }
#if defined(__AVX__)
        _mm_sfence();
#endif
    }
}

template <class T, long L>
void by_extent(const Tensors &t, long batch, long channels, bool last, const Geometry &g, int threads) {
    switch (g.extent) {
        case 2: return all<T, 2, L>(t, batch, channels, last, g, threads);
        case 4: return all<T, 4, L>(t, batch, channels, last, g, threads);
        case 8: return all<T, 8, L>(t, batch, channels, last, g, threads);
        default: return all<T, 0, L>(t, batch, channels, last, g, threads);
    }
}

}  // namespace

// x, dy, out: batch x channels x height x width; given, slope: ... x h x w; NCHW, or NHWC in memory.
// dy is null for the forward. given is null for the means of x; slope takes the gradient of given.
extern "C" void gather_excite(const void *x, const void *dy, const void *given, void *out, void *slope,
                              long batch, long channels, long height, long width, long extent,
                              const int32_t *row_of, const int32_t *column_of, int is_bf16,
                              int channels_last, int in_lanes, int threads) {
    const Geometry g{height, width, (height + extent - 1) / extent, (width + extent - 1) / extent,
                     extent, row_of, column_of};
    const long bytes = batch * channels * height * width * (is_bf16 ? 2 : 4);
    const Tensors t{x, dy, given, out, slope, bytes > CACHED_BYTES};
    const bool lanes = channels_last || in_lanes;
    if (is_bf16)
        lanes ? by_extent<Bf16, LANES>(t, batch, channels, channels_last, g, threads)
              : by_extent<Bf16, 1>(t, batch, channels, channels_last, g, threads);
    else
        lanes ? by_extent<float, LANES>(t, batch, channels, channels_last, g, threads)
              : by_extent<float, 1>(t, batch, channels, channels_last, g, threads);
}
