import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Beside the compiled service, so that the package carries both. */
export default defineConfig({
  root: import.meta.dirname,
  plugins: [react()],
  build: {
    outDir: "../dist/dashboard",
    emptyOutDir: true,
    target: "es2023",
    // Nothing inline: the content security policy lets only files of this origin run and style.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
