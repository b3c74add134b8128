// Gather-Excite on a CPU, forward and backward: y = x * up(sigmoid(p)), where p are the means of x
// over clipped windows, or given. Compiled by ge_cpu.py; nothing here knows of PyTorch.
//
// A tile is one plane, or LANES planes side by side (the channels of channels_last; small maps). It
// stays in the nearest cache, so that memory is read once and written once. Within a tile, a row is
// `width * L` floats, whatever the type and the layout outside.

#include <algorithm>
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
    z = z < 87.0f ? z : 87.0f;
    z = z > -87.0f ? z : -87.0f;
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
    bool in_blocks;                     // whether that is column / extent throughout
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
//
// What belongs to the gates' rows lies in rows of (w + 1) * e elements, the last of them zeros: a group
// of e for each gate, and one behind. So a loop over groups knows no rows: what a window takes from
// the group before its own is zero at a row's beginning, and short rows make long loops all the same.
// The rows are gone through in bands: all of them at once, unless they would fill the nearest cache.

constexpr long BAND = 4096;  // elements
constexpr long STEP = 8;
typedef float Vec __attribute__((vector_size(4 * STEP)));

template <class V>
inline V get(const float *from) {
    V value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <class V>
inline void put(float *to, V value) {
    std::memcpy(to, &value, sizeof value);
}

// f(kind, j) for n elements, 8 at a time: so up to 7 beyond the end, where there is room for them.
template <class F>
inline void in_steps(long n, long room, F f) {
    const long whole = (n + STEP - 1) / STEP * STEP <= room ? n : n / STEP * STEP;
    for (long j = 0; j < whole; j += STEP) f(Vec{}, j);
    for (long j = whole; j < n; j++) f(float{}, j);
}

// Scratch of one thread, for tiles of one geometry.
template <long L>
struct Scratch {
    long row, before;  // elements of a row of groups, and of zeros before the first
    long band;         // rows
    std::vector<float> gate, share, slope;  // (h + 1) x (w + 1); share: one over a window's elements
    std::vector<float> tail, sums, up, both, spread, spread_of_both;

    Scratch(const Geometry &g, bool is_backward)
        : row((g.w + 1) * g.extent * L), before(g.extent * L),
          band(std::clamp(BAND / row, 1L, g.h)), gate((g.h + 1) * (g.w + 1) * L), share(gate.size() / L), slope(gate.size()), tail(row + STEP),
          sums(before + band * row + STEP), up(sums.size()),
          both(is_backward ? (band * (g.w + 1) + 1) * L : 0), spread(is_backward ? sums.size() : 0),
          spread_of_both(spread.size()) {
        for (long a = 0; a < g.h; a++)
            for (long b = 0; b < g.w; b++)
                share[a * (g.w + 1) + b] =
                    1.0f / window(a, g.extent, g.height) / window(b, g.extent, g.width);
    }

    float *first_row() { return sums.data() + before; }
};

// The clipped sums of 2e - 1 rows around the row of gates `a`. Each row is added up once: `tail`, at
// first zero, hands on a block's sum but for its first row, which is what the next window takes of it.
template <long E, long L>
inline void sum_rows(const float *__restrict x, const Geometry &g, long a, float *__restrict tail,
                     float *__restrict sum) {
    const long e = E ? E : g.extent, n = g.width * L;
    const float *__restrict first = x + a * e * n;
    const long rows = a * e + e <= g.height ? e : g.height - a * e;
    const auto add = [&](auto kind, long j, long rows) {
        using V = decltype(kind);
        V rest{};
        for (long k = 1; k < rows; k++) rest += get<V>(first + k * n + j);
        put(sum + j, get<V>(tail + j) + get<V>(first + j) + rest);
        put(tail + j, rest);
    };
    const long room = (g.height - a * e - rows + 1) * n;
    if (E && rows == E)
        in_steps(n, room, [&](auto kind, long j) { add(kind, j, E); });
    else
        in_steps(n, room, [&](auto kind, long j) { add(kind, j, rows); });
}

// All gates of a tile, in s.gate: from the means, or from the logits that are there.
template <long E, long L>
inline void gates(const float *x, const Geometry &g, Scratch<L> &s, bool is_given) {
    const long e = E ? E : g.extent, wide = g.w + 1;
    std::fill(s.tail.begin(), s.tail.end(), 0.0f);
    for (long top = 0; top < g.h && !is_given; top += s.band) {
        const long end = top + s.band < g.h ? top + s.band : g.h, groups = (end - top) * wide;
        for (long a = top; a < end; a++) {
            float *sum = s.first_row() + (a - top) * s.row;
            sum_rows<E, L>(x, g, a, s.tail.data(), sum);
            std::fill(sum + g.width * L, sum + s.row, 0.0f);
        }
        float *__restrict gate = s.gate.data() + top * wide * L;
        const float *__restrict sums = s.first_row(), *__restrict share = s.share.data() + top * wide;
        for (long q = 0; q < groups; q++)
            for (long l = 0; l < L; l++) {
                float sum = 0;
                for (long k = 1 - e; k < e; k++) sum += sums[(q * e + k) * L + l];
                gate[q * L + l] = sum * share[q];
            }
    }
    float *__restrict gate = s.gate.data();
    for (long i = 0; i < g.h * wide * L; i++) gate[i] = sigmoid(gate[i]);
}

// The gates of some rows at the elements that take them.
template <long E, long L>
inline void expand(const float *__restrict gate, float *__restrict up, long rows, const Geometry &g,
                   const Scratch<L> &s) {
    if (E && g.in_blocks) {
        for (long q = 0; q < rows * (g.w + 1); q++)
            for (long k = 0; k < E; k++)
                for (long l = 0; l < L; l++) up[(q * E + k) * L + l] = gate[q * L + l];
        return;
    }
    for (long a = 0; a < rows; a++)
        for (long j = 0; j < g.width; j++)
            for (long l = 0; l < L; l++)
                up[a * s.row + j * L + l] = gate[(a * (g.w + 1) + g.column_of[j]) * L + l];
}

template <long E, long L>
void forward_tile(const float *x, float *y, const Geometry &g, Scratch<L> &s, bool is_given) {
    const long n = g.width * L;
    gates<E, L>(x, g, s, is_given);
    for (long top = 0, i = 0; top < g.h; top += s.band) {
        const long end = top + s.band < g.h ? top + s.band : g.h;
        expand<E, L>(s.gate.data() + top * (g.w + 1) * L, s.up.data(), end - top, g, s);
        for (; i < g.height && g.row_of[i] < end; i++) {
            const float *in = x + i * n, *up = s.up.data() + (g.row_of[i] - top) * s.row;
            float *out = y + i * n;
            in_steps(n, (g.height - i) * n, [&](auto kind, long j) {
                using V = decltype(kind);
                put(out + j, get<V>(in + j) * get<V>(up + j));
            });
        }
    }
}

// The gradients of p by the products of x and dy: in s.slope, with a zero behind each row and a row of
// zeros.
template <long E, long L>
inline void slopes(const float *x, const float *dy, const Geometry &g, Scratch<L> &s, bool is_given) {
    const long n = g.width * L, wide = g.w + 1;
    std::fill(s.slope.begin(), s.slope.end(), 0.0f);
    for (long top = 0, i = 0; top < g.h; top += s.band) {
        const long end = top + s.band < g.h ? top + s.band : g.h;
        float *__restrict slope = s.slope.data() + top * wide * L;
        for (long a = top; a < end; a++) {
            float *sum = s.first_row() + (a - top) * s.row;
            std::fill(sum, sum + s.row, 0.0f);
            for (; i < g.height && g.row_of[i] == a; i++) {
                const float *in = x + i * n, *of_out = dy + i * n;
                in_steps(n, (g.height - i) * n, [&](auto kind, long j) {
                    using V = decltype(kind);
                    put(sum + j, get<V>(sum + j) + get<V>(of_out + j) * get<V>(in + j));
                });
            }
            std::fill(sum + n, sum + s.row, 0.0f);
        }
        const float *__restrict sums = s.first_row();
        if (E && g.in_blocks) {
            for (long q = 0; q < (end - top) * wide; q++)
                for (long l = 0; l < L; l++) {
                    float sum = 0;
                    for (long k = 0; k < E; k++) sum += sums[(q * E + k) * L + l];
                    slope[q * L + l] = sum;
                }
            continue;
        }
        for (long a = 0; a < end - top; a++)
            for (long j = 0; j < g.width; j++)
                for (long l = 0; l < L; l++)
                    slope[(a * wide + g.column_of[j]) * L + l] += sums[a * s.row + j * L + l];
    }
    float *__restrict slope = s.slope.data();
    const float *__restrict gate = s.gate.data(), *__restrict share = s.share.data();
    for (long q = 0; q < g.h * wide; q++)
        for (long l = 0; l < L; l++) {
            const float value = gate[q * L + l];
            slope[q * L + l] *= value * (1 - value) * (is_given ? 1.0f : share[q]);
        }
}

// What each window's mean hands back to its elements: in s.spread for the first row of a block, which
// lies in one row of windows alone, and in s.spread_of_both for the others.
template <long E, long L>
inline void spread(const float *__restrict slope, long rows, const Geometry &g, Scratch<L> &s) {
    const long e = E ? E : g.extent, wide = (g.w + 1) * L, groups = rows * (g.w + 1);
    float *__restrict both = s.both.data(), *__restrict one = s.spread.data();
    float *__restrict two = s.spread_of_both.data();
    for (long i = 0; i < groups * L; i++) both[i] = slope[i] + slope[i + wide];
    for (long q = 0; q < groups; q++)
        for (long k = 0; k < e; k++)
            for (long l = 0; l < L; l++) {
                const long here = q * L + l, next = here + L, to = (q * e + k) * L + l;
                one[to] = slope[here] + (k ? slope[next] : 0.0f);
                two[to] = both[here] + (k ? both[next] : 0.0f);
            }
}

template <long E, long L>
void backward_tile(const float *x, const float *dy, float *dx, const Geometry &g, Scratch<L> &s,
                   bool is_given) {
    const long e = E ? E : g.extent, n = g.width * L, wide = (g.w + 1) * L;
    gates<E, L>(x, g, s, is_given);
    slopes<E, L>(x, dy, g, s, is_given);
    long up_to = 0, spread_to = 0, up_top = 0, spread_top = 0;  // the bands that are there
    for (long i = 0; i < g.height; i++) {
        if (g.row_of[i] >= up_to) {
            up_top = up_to, up_to = up_top + s.band < g.h ? up_top + s.band : g.h;
            expand<E, L>(s.gate.data() + up_top * wide, s.up.data(), up_to - up_top, g, s);
        }
        if (i / e >= spread_to && !is_given) {
            spread_top = spread_to, spread_to = spread_top + s.band < g.h ? spread_top + s.band : g.h;
            spread<E, L>(s.slope.data() + spread_top * wide, spread_to - spread_top, g, s);
        }
        const float *in = dy + i * n, *up = s.up.data() + (g.row_of[i] - up_top) * s.row;
        const float *spread = (i % e ? s.spread_of_both : s.spread).data() + (i / e - spread_top) * s.row;
        float *out = dx + i * n;
        const long room = (g.height - i) * n;
        if (is_given)
            in_steps(n, room, [&](auto kind, long j) {
                using V = decltype(kind);
                put(out + j, get<V>(in + j) * get<V>(up + j));
            });
        else
            in_steps(n, room, [&](auto kind, long j) {
                using V = decltype(kind);
                put(out + j, get<V>(in + j) * get<V>(up + j) + get<V>(spread + j));
            });
    }
}

// The global extent: one gate a plane. Forward where dy is null; out may be x, or dy.
template <long L>
void global_tile(const float *x, const float *dy, float *out, long pixels, Scratch<L> &s,
                 bool is_given) {
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

// A tile's own memory: in float32, what does not lie so outside; and a result that is yet to be written.
struct Own {
    std::vector<float> x, dy, out;
};

template <class T, long E, long L>
void tile(const Tensors &t, long offset, long small, Layout at, Layout at_small, const Geometry &g,
          Scratch<L> &s, Own &own) {
    const long pixels = g.height * g.width;
    const bool direct = sizeof(T) == 4 && L == 1, is_global = g.h == 1 && g.w == 1 && E == 0;
    const auto tile_of = [&](const void *tensor, std::vector<float> &memory) {
        const T *from = static_cast<const T *>(tensor) + offset;
        if (direct) return reinterpret_cast<const float *>(from);
        read_tile<L>(memory.data(), from, pixels, at);
        return static_cast<const float *>(memory.data());
    };
    const float *x = tile_of(t.x, own.x), *dy = t.dy ? tile_of(t.dy, own.dy) : nullptr;
    for (long a = 0; a < g.h && t.given; a++)
        read_tile<L>(s.gate.data() + a * (g.w + 1) * L,
                     static_cast<const T *>(t.given) + small + a * g.w * at_small.pixel, g.w, at_small);
    T *to = static_cast<T *>(t.out) + offset;
    float *out = direct && !t.is_large ? reinterpret_cast<float *>(to) : own.out.data();
    if (is_global)
        global_tile<L>(x, dy, out, pixels, s, t.given);
    else if (dy)
        backward_tile<E, L>(x, dy, out, g, s, t.given);
    else
        forward_tile<E, L>(x, out, g, s, t.given);
    if (!direct)
        write_tile<L>(to, out, pixels, at);
    else if (t.is_large)
        write_past_caches(reinterpret_cast<float *>(to), out, pixels);
    for (long a = 0; a < g.h && t.slope; a++)
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
        Scratch<L> scratch(g, t.dy);
        const bool is_float = sizeof(T) == 4 && L == 1;
        Own own{std::vector<float>(is_float ? 0 : pixels * L),
                std::vector<float>(is_float || !t.dy ? 0 : pixels * L),
                std::vector<float>(is_float && !t.is_large ? 0 : pixels * L)};
#pragma omp for schedule(static)
        for (long index = 0; index < groups * tiles; index++) {
            const long group = index / tiles, plane = index % tiles * L;
            const long lanes = planes - plane < L ? planes - plane : L;
            if (channels_last)
                tile<T, E, L>(t, group * channels * pixels + plane, group * channels * small + plane,
                              {channels, 1, lanes}, {channels, 1, lanes}, g, scratch, own);
            else
                tile<T, E, L>(t, plane * pixels, plane * small, {1, pixels, lanes}, {1, small, lanes},
                              g, scratch, own);
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
    Geometry g{height, width, (height + extent - 1) / extent, (width + extent - 1) / extent,
               extent, row_of, column_of, true};
    for (long j = 0; j < width; j++) g.in_blocks &= column_of[j] == j / extent;
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
