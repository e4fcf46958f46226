/** What a tab asks of the worker; `port` is for this request alone. */
export interface Asked {
  url: string;
  method: string;
  headers: [string, string][];
  body: string;
  port: MessagePort;
}

/** What the worker says at a request's port: the head of its answer, then pieces of the body, and `undefined` at the end. */
export type Said = { status: number; headers: [string, string][] } | Uint8Array<ArrayBuffer> | undefined;
