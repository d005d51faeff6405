/*
 * A client on top of libwebsockets. Commands are read from standard input, events printed on standard output: they are
 * described at process in process_test.go.
 */
#include <libwebsockets.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct part { /* a frame to send */
	unsigned char *data; /* behind LWS_PRE bytes */
	size_t len;
	int flags;
	struct part *next;
};

struct conn {
	int number, over, closing;
	struct lws *wsi;
	struct part *out;
	char *in;
	size_t len;
	char protocol[64], reason[128];
};

struct line {
	char *text;
	struct line *next;
};

static struct lws_context *context;
static struct conn *conns[1 << 16];
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static struct line *lines;
static int ended;

static void report(int number, const char *kind, int code, const void *data, size_t len)
{
	const unsigned char *p = data;

	printf("%d %s %d x", number, kind, code);
	while (len--)
		printf("%02x", *p++);
	printf("\n");
	fflush(stdout);
}

static void say(int number, const char *kind, int code, const char *text)
{
	report(number, kind, code, text, strlen(text));
}

/* decode makes bytes of a word, with room for what libwebsockets puts before them. */
static unsigned char *decode(const char *word, size_t *len)
{
	unsigned char *data;
	size_t i;

	*len = strlen(word + 1) / 2;
	data = (unsigned char *)malloc(LWS_PRE + *len + 1) + LWS_PRE;
	for (i = 0; i < *len; i++) {
		unsigned int byte;
		sscanf(word + 1 + 2 * i, "%2x", &byte);
		data[i] = (unsigned char)byte;
	}
	data[*len] = 0;
	return data;
}

static void end(struct conn *c, const char *kind, int code, const void *data, size_t len)
{
	if (!c->over)
		report(c->number, kind, code, data, len);
	c->over = 1;
	c->wsi = NULL;
}

static int writeable(struct conn *c)
{
	struct part *p = c->out;
	int n;

	if (p) {
		n = lws_write(c->wsi, p->data, p->len, (enum lws_write_protocol)p->flags);
		c->out = p->next;
		free(p->data - LWS_PRE);
		free(p);
		if (n < 0)
			return -1;
		lws_callback_on_writable(c->wsi);
	} else if (c->closing) {
		lws_close_reason(c->wsi, (enum lws_close_status)c->closing, (unsigned char *)c->reason, strlen(c->reason));
		return -1;
	}
	return 0;
}

static void receive(struct conn *c, const void *in, size_t len)
{
	c->in = realloc(c->in, c->len + len + 1);
	memcpy(c->in + c->len, in, len);
	c->len += len;
	if (!lws_is_final_fragment(c->wsi) || lws_remaining_packet_payload(c->wsi))
		return;
	report(c->number, lws_frame_is_binary(c->wsi) ? "binary" : "text", 0, c->in, c->len);
	c->len = 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t len)
{
	struct conn *c = user;
	const unsigned char *p = in;

	switch (why) {
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: {
		int status = (int)lws_http_client_http_response(wsi);

		end(c, status >= 300 ? "refused" : "failed", status >= 300 ? status : 0, in ? in : "", in ? strlen(in) : 0);
		break;
	}
	case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
		if (lws_hdr_copy(wsi, c->protocol, sizeof c->protocol, WSI_TOKEN_PROTOCOL) < 0)
			c->protocol[0] = 0;
		break;
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		c->wsi = wsi;
		say(c->number, "open", 0, c->protocol);
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		receive(c, in, len);
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		report(c->number, "pong", 0, in, len);
		break;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		if (len >= 2)
			end(c, "close", p[0] << 8 | p[1], p + 2, len - 2);
		break;
	case LWS_CALLBACK_CLIENT_CLOSED:
		end(c, "lost", 0, "", 0);
		break;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return writeable(c);
	default:
		break;
	}
	return 0;
}

static const struct lws_protocols protocols[] = {{"client", callback, 0, 1 << 16, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};

static const struct lws_extension deflate[] = {
	{"permessage-deflate", lws_extension_callback_pm_deflate,
	 "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
	{NULL, NULL, NULL},
};

/* dial connects to words: the URL, the protocols, an origin, a file of certificates, and whether to offer compression. */
static void dial(struct conn *c, char *words[])
{
	struct lws_context_creation_info info;
	struct lws_client_connect_info to;
	const char *scheme, *host, *path;
	char origin[256] = "";
	char address[300];
	int port;

	memset(&info, 0, sizeof info);
	info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	info.port = CONTEXT_PORT_NO_LISTEN;
	info.protocols = protocols;
	info.vhost_name = "client";
	if (*words[4] == '1')
		info.extensions = deflate;
	if (*words[3] != '-')
		info.client_ssl_ca_filepath = words[3];
	memset(&to, 0, sizeof to);
	if (lws_parse_uri(words[0], &scheme, &host, &port, &path)) {
		say(c->number, "failed", 0, "the URL");
		return;
	}
	if (*words[2] != '-') /* it puts the scheme in front by itself */
		snprintf(origin, sizeof origin, "%s", strstr(words[2], "//") + 2);
	snprintf(address, sizeof address, "%s:%d", host, port);
	to.context = context;
	to.vhost = lws_create_vhost(context, &info);
	to.address = host;
	to.port = port;
	to.path = "/";
	to.host = address;
	to.origin = *origin ? origin : NULL;
	to.protocol = *words[1] == '-' ? NULL : words[1];
	to.local_protocol_name = "client";
	to.ssl_connection = strcmp(scheme, "wss") ? 0 : LCCSCF_USE_SSL;
	to.userdata = c;
	if (!to.vhost || !lws_client_connect_via_info(&to))
		end(c, "failed", 0, "", 0);
}

static void command(char *text)
{
	char *save, *words[64];
	int n = 0, i;
	struct conn *c;
	struct part **tail;

	for (char *w = strtok_r(text, " \n", &save); w && n < 64; w = strtok_r(NULL, " \n", &save))
		words[n++] = w;
	if (n < 2)
		return;
	i = atoi(words[0]) & 0xffff;
	if (!conns[i]) {
		conns[i] = calloc(1, sizeof *c);
		conns[i]->number = i;
	}
	c = conns[i];
	if (!strcmp(words[1], "dial")) {
		dial(c, words + 2);
		return;
	}
	if (!strcmp(words[1], "abandon")) {
		c->over = 1;
		return;
	}
	if (!c->wsi)
		return;
	if (!strcmp(words[1], "close")) {
		size_t len;
		unsigned char *reason = decode(words[3], &len);

		c->closing = atoi(words[2]);
		snprintf(c->reason, sizeof c->reason, "%s", reason);
		free(reason - LWS_PRE);
	} else {
		int kind = !strcmp(words[1], "ping") ? LWS_WRITE_PING : *words[1] == 't' ? LWS_WRITE_TEXT : LWS_WRITE_BINARY;

		for (tail = &c->out; *tail; tail = &(*tail)->next)
			;
		for (i = 2; i < n; i++, tail = &(*tail)->next) {
			*tail = calloc(1, sizeof **tail);
			(*tail)->data = decode(words[i], &(*tail)->len);
			(*tail)->flags = lws_write_ws_flags(kind, i == 2, i == n - 1);
		}
	}
	lws_callback_on_writable(c->wsi);
}

/* read_lines runs beside the event loop, and wakes it. */
static void *read_lines(void *unused)
{
	char *text = NULL;
	size_t cap = 0;

	while (getline(&text, &cap, stdin) > 0) {
		struct line *l = calloc(1, sizeof *l), **tail;

		l->text = strdup(text);
		pthread_mutex_lock(&mu);
		for (tail = &lines; *tail; tail = &(*tail)->next)
			;
		*tail = l;
		pthread_mutex_unlock(&mu);
		lws_cancel_service(context);
	}
	pthread_mutex_lock(&mu);
	ended = 1;
	pthread_mutex_unlock(&mu);
	lws_cancel_service(context);
	return unused;
}

int main(void)
{
	struct lws_context_creation_info info;
	pthread_t reader;
	char version[64];
	int over = 0;

	lws_set_log_level(LLL_ERR, NULL);
	memset(&info, 0, sizeof info);
	info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	info.port = CONTEXT_PORT_NO_LISTEN;
	context = lws_create_context(&info);
	if (!context)
		return 1;
	snprintf(version, sizeof version, "C, %s", LWS_LIBRARY_VERSION);
	say(0, "ready", 0, version);
	pthread_create(&reader, NULL, read_lines, NULL);
	while (!over) {
		struct line *l;

		lws_service(context, 0);
		pthread_mutex_lock(&mu);
		l = lines;
		lines = NULL;
		over = ended;
		pthread_mutex_unlock(&mu);
		while (l) {
			struct line *next = l->next;

			command(l->text);
			free(l->text);
			free(l);
			l = next;
		}
	}
	_exit(0); /* what is left of connections is of no interest */
}
