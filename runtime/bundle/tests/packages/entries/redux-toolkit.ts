import { configureStore, createSlice, createAsyncThunk, createEntityAdapter, PayloadAction, nanoid } from "@reduxjs/toolkit";
const load = createAsyncThunk("load", async (n: number) => n + 1);
const slice = createSlice({
  name: "n",
  initialState: { value: 1 },
  reducers: {
    add: (s, a: PayloadAction<number>) => {
      s.value += a.payload;
    },
  },
  extraReducers: (b) =>
    b.addCase(load.fulfilled, (s, a) => {
      s.value = a.payload;
    }),
});
export const store = configureStore({ reducer: { n: slice.reducer } });
store.dispatch(slice.actions.add(4));
console.log(JSON.stringify(store.getState()));
await store.dispatch(load(9));
console.log(
  JSON.stringify(store.getState()),
  nanoid().length,
  JSON.stringify(createEntityAdapter<{ id: string }>().addOne({ ids: [], entities: {} } as never, { id: "x" })),
);
