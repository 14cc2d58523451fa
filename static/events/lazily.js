/** Stands for an instance of the class, which is made when it is first used. */
export function lazily(Class) {
  let made = null;
  const get = (_, name) => {
    made ??= new Class();
    const value = Reflect.get(made, name, made);
    return typeof value === 'function' ? value.bind(made) : value;
  };
  return new Proxy(Object.create(Class.prototype), { get });
}
