/** One table of values by key in a database of the browser. */
export interface Table {
  get(key: string): Promise<unknown>;
  put(key: string, value: unknown): Promise<void>;
  all(): Promise<unknown[]>;
  remove(key: string): Promise<void>;
}

/** A table of IndexedDB, opened for each call: nothing is held, so that other tabs are never in the way of an upgrade. */
export function openTable(database: string, table: string): Table {
  const within = <T>(mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const opening = indexedDB.open(database, 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore(table);
      opening.onerror = () => reject(opening.error);
      opening.onsuccess = () => {
        const opened = opening.result;
        const transaction = opened.transaction(table, mode);
        const request = ask(transaction.objectStore(table));
        transaction.oncomplete = () => {
          opened.close();
          resolve(request.result);
        };
        transaction.onabort = () => {
          opened.close();
          reject(transaction.error);
        };
      };
    });
  return {
    get: (key) => within('readonly', (store) => store.get(key)),
    put: async (key, value) => void (await within('readwrite', (store) => store.put(value, key))),
    all: () => within('readonly', (store) => store.getAll()),
    remove: (key) => within('readwrite', (store) => store.delete(key)),
  };
}
