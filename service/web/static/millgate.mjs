// Keeps what is shown fresh, and says when it is not.
const theme = document.getElementById("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");
const apply = () => {
  document.documentElement.dataset.bsTheme = localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light");
};
apply();
dark.addEventListener("change", apply);
theme.hidden = false;
theme.addEventListener("click", () => {
  localStorage.setItem("theme", document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark");
  apply();
});
