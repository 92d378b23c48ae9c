/* SPDX-License-Identifier: Apache-2.0 */
#include "steer.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/socket.h>

/* The address is folded into 32 bits, an IPv4 one as if it were written ::ffff:a.b.c.d; then it is
 * mixed, so that neighbours spread. */
enum { MAPPED = 0xffff, MIX_SHIFT = 16 };
#define MIX 0x9e3779b1u

enum { IPV4_SOURCE = 12, IPV6_SOURCE = 8 }; /* in the network header */

static guint32 word_at(const guint8 *bytes)
{
    guint32 word;
    memcpy(&word, bytes, sizeof word);
    return GUINT32_FROM_BE(word);
}

guint steer_worker(const PstAddr *addr, guint n)
{
    guint32 folded = word_at(addr->bytes);
    if (addr->family == PST_AF_INET6)
        folded ^= word_at(addr->bytes + 4) ^ word_at(addr->bytes + 8) ^ word_at(addr->bytes + 12);
    else
        folded ^= MAPPED;
    return (folded * MIX >> MIX_SHIFT) % n;
}

/* The same, as the kernel runs it: offsets from SKF_NET_OFF are those of the network header. */
gboolean steer_attach(int fd, guint n)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (guint32)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 3, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (guint32)(SKF_NET_OFF + IPV4_SOURCE)),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, MAPPED),
        BPF_STMT(BPF_JMP | BPF_JA, 10),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (guint32)(SKF_NET_OFF + IPV6_SOURCE)),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (guint32)(SKF_NET_OFF + IPV6_SOURCE + 4)),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (guint32)(SKF_NET_OFF + IPV6_SOURCE + 8)),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (guint32)(SKF_NET_OFF + IPV6_SOURCE + 12)),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, MIX),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, MIX_SHIFT),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = G_N_ELEMENTS(code), .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0;
}
